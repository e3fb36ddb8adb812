//! Orders to a running program: a POST or PUT to the admin pages, from this machine or with the token.
//!
//! Who takes an order only puts a value into a channel; what comes of it stands on `/status`.

use super::{TEXT, page};
use config::Secret;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::{Body, Bytes},
    header::{AUTHORIZATION, ORIGIN},
};
use std::{collections::BTreeMap, error::Error, fmt, net::IpAddr, path::PathBuf, sync::Arc};

/// An order is a word or a line.
const MOST_BYTES: usize = 16 * 1024;

/// One order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What follows the first part of the path: `redis-0` of `/role/redis-0`.
    pub about: String,
    /// The body.
    pub text: String,
}

/// What is said to who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 200: it was taken.
    Taken(String),
    /// 400: it makes no sense.
    Wrong(String),
    /// 404: it is about something that is not here.
    Nobody(String),
    /// 409: it cannot be done now.
    NotNow(String),
}

/// Takes the orders of one path.
pub type Taker = Arc<dyn Fn(Order) -> Reply + Send + Sync>;

/// Who takes which orders, and from whom.
#[derive(Clone, Default)]
pub struct Orders {
    /// By the first part of the path, without slashes.
    pub takers: BTreeMap<&'static str, Taker>,
    /// Holds the token that each order must bring; without it, orders are taken from this machine alone.
    pub token_file: Option<PathBuf>,
}

impl fmt::Debug for Orders {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let takers: Vec<_> = self.takers.keys().collect();
        out.debug_struct("Orders")
            .field("takers", &takers)
            .field("token_file", &self.token_file)
            .finish_non_exhaustive()
    }
}

impl Orders {
    /// Who takes what comes to this path, and what the order is about.
    pub(super) fn taker(&self, path: &str) -> Option<(&Taker, String)> {
        let (first, about) =
            path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
        Some((self.takers.get(first)?, about.to_owned()))
    }

    pub(super) async fn give<B>(
        &self,
        request: Request<B>,
        peer: IpAddr,
        (taker, about): (&Taker, String),
    ) -> Response<Full<Bytes>>
    where
        B: Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let token = match self.token().await {
            Ok(token) => token,
            Err(why) => return page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, why + "\n"),
        };
        if let Err((status, why)) = admit(peer, request.headers(), token.as_ref()) {
            return page(status, TEXT, why.to_owned() + "\n");
        }
        let Ok(body) = Limited::new(request.into_body(), MOST_BYTES).collect().await else {
            let why = format!("an order has at most {MOST_BYTES} bytes\n");
            return page(StatusCode::PAYLOAD_TOO_LARGE, TEXT, why);
        };
        let Ok(text) = String::from_utf8(body.to_bytes().into()) else {
            return page(StatusCode::BAD_REQUEST, TEXT, "an order is UTF-8 text\n".into());
        };
        let (status, said) = match taker(Order { about, text }) {
            Reply::Taken(said) => (StatusCode::OK, said),
            Reply::Wrong(why) => (StatusCode::BAD_REQUEST, why),
            Reply::Nobody(why) => (StatusCode::NOT_FOUND, why),
            Reply::NotNow(why) => (StatusCode::CONFLICT, why),
        };
        page(status, TEXT, said + "\n")
    }

    /// Read for each order, so that a changed one counts at once.
    async fn token(&self) -> Result<Option<Secret>, String> {
        let Some(file) = &self.token_file else { return Ok(None) };
        match tokio::fs::read_to_string(file).await {
            Ok(text) if text.trim().is_empty() => Err(format!("{}: is empty", file.display())),
            Ok(text) => Ok(Some(Secret::new(text.trim()))),
            Err(error) => Err(format!("{}: {error}", file.display())),
        }
    }
}

fn admit(
    peer: IpAddr,
    headers: &HeaderMap,
    token: Option<&Secret>,
) -> Result<(), (StatusCode, &'static str)> {
    // A page in somebody's browser on this machine must not give orders; browsers say where it came from.
    if headers.contains_key(ORIGIN) {
        return Err((StatusCode::FORBIDDEN, "orders are not taken from web pages"));
    }
    let Some(token) = token else {
        let from_here = peer.to_canonical().is_loopback();
        let why = "orders are taken from this machine only; for others, set admin.token_file and send its token \
                   as \"Authorization: Bearer …\"";
        return if from_here { Ok(()) } else { Err((StatusCode::FORBIDDEN, why)) };
    };
    let brought = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match brought {
        Some(brought) if same(brought.as_bytes(), token.expose().as_bytes()) => Ok(()),
        _ => Err((
            StatusCode::UNAUTHORIZED,
            "an order must bring the token of admin.token_file as \"Authorization: Bearer …\"",
        )),
    }
}

/// Takes as long for a wrong token as for the right one.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_taken_from_this_machine_or_with_the_token() {
        let token = Secret::new("s3cret");
        for (peer, header, token, admitted) in [
            ("127.0.0.1", None, None, true),
            ("127.9.9.9", None, None, true),
            ("::1", None, None, true),
            ("::ffff:127.0.0.1", None, None, true),
            ("10.0.0.7", None, None, false),
            ("::ffff:10.0.0.7", None, None, false),
            ("127.0.0.1", Some(("origin", "http://localhost")), None, false),
            ("127.0.0.1", None, Some(&token), false),
            ("127.0.0.1", Some(("authorization", "Bearer s3cres")), Some(&token), false),
            ("127.0.0.1", Some(("authorization", "s3cret")), Some(&token), false),
            ("10.0.0.7", Some(("authorization", "Bearer s3cret")), Some(&token), true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header {
                headers.insert(name, value.parse().unwrap());
            }
            assert_eq!(admit(peer.parse().unwrap(), &headers, token).is_ok(), admitted, "{peer} {header:?}");
        }
    }
}
