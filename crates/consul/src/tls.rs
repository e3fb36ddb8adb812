//! Certificates for TLS to Consul, read from the files that `ssl {}` names.

use crate::{ClientError, settings::Ssl};
use reqwest::{
    Certificate, ClientBuilder, Identity,
    dns::{Addrs, Name, Resolve, Resolving},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What the files hold at one moment; equal when nobody changed them.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Files {
    authorities: Vec<(PathBuf, Vec<u8>)>,
    identity: Option<Vec<u8>>,
}

impl Files {
    pub(crate) fn read(ssl: &Ssl) -> Result<Files, ClientError> {
        let mut paths: Vec<_> = ssl.ca_cert.iter().cloned().collect();
        if let Some(folder) = &ssl.ca_path {
            let entries = fs::read_dir(folder).map_err(|e| unreadable("ssl.ca_path", folder, &e))?;
            let mut found: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
            found.sort();
            paths.extend(found.into_iter().filter(|path| path.is_file()));
        }
        let pem = |path: PathBuf| match fs::read(&path) {
            Ok(pem) => Ok((path, pem)),
            Err(error) => Err(unreadable("ssl.ca_cert", &path, &error)),
        };
        let authorities = paths.into_iter().map(pem).collect::<Result<_, _>>()?;
        Ok(Files { authorities, identity: identity(ssl)? })
    }

    /// The certificates and the key in use for new connections.
    pub(crate) fn apply(&self, mut builder: ClientBuilder, ssl: &Ssl) -> Result<ClientBuilder, ClientError> {
        let mut authorities = vec![];
        for (path, pem) in &self.authorities {
            let found = Certificate::from_pem_bundle(pem).map_err(|e| {
                ClientError::Setup(format!("ssl.ca_cert {} is no PEM certificate: {e}", path.display()))
            })?;
            authorities.extend(found);
        }
        if !authorities.is_empty() {
            builder = builder.tls_certs_only(authorities);
        }
        if let (Some(pem), Some(cert)) = (&self.identity, &ssl.cert) {
            let identity = Identity::from_pem(pem).map_err(|_| {
                let cert = cert.display();
                ClientError::Setup(format!("ssl.cert {cert} and ssl.key are no PEM certificate and key"))
            })?;
            builder = builder.identity(identity);
        }
        Ok(builder.tls_danger_accept_invalid_certs(ssl.insecure))
    }
}

fn identity(ssl: &Ssl) -> Result<Option<Vec<u8>>, ClientError> {
    let Some(cert) = &ssl.cert else { return Ok(None) };
    let mut pem = fs::read(cert).map_err(|e| unreadable("ssl.cert", cert, &e))?;
    if let Some(key) = &ssl.key {
        pem.push(b'\n');
        pem.extend(fs::read(key).map_err(|e| unreadable("ssl.key", key, &e))?);
    }
    Ok(Some(pem))
}

fn unreadable(key: &str, path: &Path, error: &std::io::Error) -> ClientError {
    ClientError::Setup(format!("{key} {} cannot be read: {error}", path.display()))
}

/// Looks any name up as one host: the certificate's name stands in the request, the host is where it goes.
#[derive(Debug)]
pub(crate) struct Alias {
    pub(crate) host: String,
}

impl Resolve for Alias {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.host.clone();
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
