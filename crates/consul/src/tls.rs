//! Certificates for TLS to Consul, read from the files that `ssl {}` names.

use crate::{ClientError, settings::Ssl};
use reqwest::{
    Certificate, Identity,
    dns::{Addrs, Name, Resolve, Resolving},
};
use std::{fs, path::Path};

/// The authorities to trust; none means the system's.
pub(crate) fn authorities(ssl: &Ssl) -> Result<Vec<Certificate>, ClientError> {
    let mut files: Vec<_> = ssl.ca_cert.iter().cloned().collect();
    if let Some(folder) = &ssl.ca_path {
        let entries = fs::read_dir(folder).map_err(|e| unreadable("ssl.ca_path", folder, &e))?;
        files.extend(entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file()));
    }
    let mut authorities = vec![];
    for file in &files {
        let pem = fs::read(file).map_err(|e| unreadable("ssl.ca_cert", file, &e))?;
        let found = Certificate::from_pem_bundle(&pem).map_err(|e| {
            ClientError::Setup(format!("ssl.ca_cert {} is no PEM certificate: {e}", file.display()))
        })?;
        authorities.extend(found);
    }
    Ok(authorities)
}

/// The certificate and key to show.
pub(crate) fn identity(ssl: &Ssl) -> Result<Option<Identity>, ClientError> {
    let Some(cert) = &ssl.cert else { return Ok(None) };
    let mut pem = fs::read(cert).map_err(|e| unreadable("ssl.cert", cert, &e))?;
    if let Some(key) = &ssl.key {
        pem.push(b'\n');
        pem.extend(fs::read(key).map_err(|e| unreadable("ssl.key", key, &e))?);
    }
    Identity::from_pem(&pem).map(Some).map_err(|_| {
        ClientError::Setup(format!("ssl.cert {} and ssl.key are no PEM certificate and key", cert.display()))
    })
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
