//! Keys, certificates and JSON web tokens for the stories, made by `openssl`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{Outcome, consul::Agent, unix_ms, when};

/// Signs JSON web tokens and certificates.
#[derive(Debug)]
pub struct Issuer {
    home: PathBuf,
}

impl Issuer {
    /// Makes a key, and a certificate for it that signs others.
    pub fn new(home: &Path, name: &str) -> Outcome<Issuer> {
        let home = home.join(name);
        fs::create_dir(&home)?;
        let issuer = Issuer { home };
        issuer.openssl(&["genrsa", "-out", "key.pem", "2048"])?;
        issuer.openssl(&["rsa", "-in", "key.pem", "-pubout", "-out", "public.pem"])?;
        let subject = format!("/CN={name}");
        issuer.openssl(&[
            "req", "-x509", "-key", "key.pem", "-days", "2", "-subj", &subject, "-out", "ca.pem",
        ])?;
        Ok(issuer)
    }

    /// The certificate that others trust.
    pub fn authority(&self) -> PathBuf {
        self.home.join("ca.pem")
    }

    /// A certificate for 127.0.0.1 and its key, in one file.
    pub fn certificate(&self, name: &str) -> Outcome<PathBuf> {
        let (key, request, cert) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        let subject = format!("/CN={name}");
        let new =
            ["req", "-newkey", "rsa:2048", "-nodes", "-subj", &subject, "-keyout", &key, "-out", &request];
        self.openssl(&new)?;
        fs::write(self.home.join("names"), "subjectAltName=IP:127.0.0.1\n")?;
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "key.pem",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            &cert,
        ])?;
        let both = fs::read_to_string(self.home.join(cert))? + &fs::read_to_string(self.home.join(key))?;
        let file = self.home.join(format!("{name}.pem"));
        fs::write(&file, both)?;
        Ok(file)
    }

    /// A token for `subject` that ends `seconds` from now.
    pub fn bearer(&self, subject: &str, seconds: i64) -> Outcome<String> {
        let now = (unix_ms(Instant::now()) / 1000.0) as i64;
        let claims = json!({
            "iss": "tests", "aud": "consul", "sub": subject, "iat": now - 600, "exp": now + seconds,
        });
        let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(json!({"alg": "RS256", "typ": "JWT"})), part(claims));
        fs::write(self.home.join("signed"), &signed)?;
        self.openssl(&["dgst", "-sha256", "-sign", "key.pem", "-out", "signature", "signed"])?;
        let signature = BASE64_URL_SAFE_NO_PAD.encode(fs::read(self.home.join("signature"))?);
        Ok(format!("{signed}.{signature}"))
    }

    /// Makes an auth method `jwt` that trusts these tokens and gives the rights of `rules` for a minute, which is
    /// Consul's least.
    pub async fn auth_method(&self, consul: &Agent, rules: &str) -> Outcome {
        let key = fs::read_to_string(self.home.join("public.pem"))?;
        let config = json!({
            "JWTValidationPubKeys": [key], "BoundIssuer": "tests", "BoundAudiences": ["consul"],
            "ClaimMappings": { "sub": "sub" },
        });
        let method = json!({
            "Name": "jwt", "Type": "jwt", "TokenLocality": "local", "MaxTokenTTL": "60s", "Config": config,
        });
        consul.put("acl/auth-method", method).await?;
        consul.put("acl/policy", json!({ "Name": "by-login", "Rules": rules })).await?;
        consul.put("acl/role", json!({ "Name": "by-login", "Policies": [{ "Name": "by-login" }] })).await?;
        let rule = json!({ "AuthMethod": "jwt", "BindType": "role", "BindName": "by-login", "Selector": "value.sub==redis" });
        consul.put("acl/binding-rule", rule).await?;
        Ok(())
    }

    fn openssl(&self, arguments: &[&str]) -> Outcome {
        let mut openssl = Command::new("openssl");
        let done = openssl.args(arguments).current_dir(&self.home).stdin(Stdio::null()).output()?;
        when(done.status.success(), || {
            format!("openssl {}: {}", arguments.join(" "), String::from_utf8_lossy(&done.stderr))
        })
    }
}

/// The accessors of tokens that were made by a login, and what was said of them.
pub async fn logins(consul: &Agent) -> Outcome<Vec<(String, String)>> {
    let all = consul.get("acl/tokens").await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let ours = all.as_array().into_iter().flatten().filter(|token| token["AuthMethod"] == "jwt");
    Ok(ours.map(|token| (text(&token["AccessorID"]), text(&token["Description"]))).collect())
}
