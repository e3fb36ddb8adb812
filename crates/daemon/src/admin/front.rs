//! The front page, for people: one static file around what the program shows of itself. Nothing comes from elsewhere, and
//! nothing in it runs but the script of that file; browsers see to that.

use crate::clock::{rfc3339, unix_millis};
use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{
    HeaderMap,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use sha2::{Digest, Sha256};

pub(super) const HTML: &str = "text/html; charset=utf-8";
const FILE: &str = include_str!("front.html");
/// Where in the file the moment and the content go.
const MOMENT: &str = "<!--moment-->";
const CONTENT: &str = "<!--content-->";

/// This moment, for people.
pub(super) fn moment() -> String {
    let now = rfc3339(unix_millis());
    let (seconds, _) = now.rsplit_once('.').unwrap_or((&now, ""));
    format!("{} UTC", seconds.replace('T', " "))
}

/// The page with this content, as it was at that moment.
pub(super) fn page(moment: &str, content: &str) -> String {
    FILE.replacen(MOMENT, moment, 2).replacen(CONTENT, content, 1)
}

/// What browsers are told with it.
pub(super) fn headers(headers: &mut HeaderMap) {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        hash("style"),
        hash("script"),
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// What names the one element of that kind in a policy.
fn hash(element: &str) -> String {
    let inside = FILE.split_once(&format!("<{element}>")).map_or("", |(_, rest)| rest);
    let inside = inside.split_once(&format!("</{element}>")).map_or("", |(inside, _)| inside);
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(inside)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_one_place_for_each_thing() {
        for (what, times) in [
            ("<style>", 1),
            ("</style>", 1),
            ("<script>", 1),
            ("</script>", 1),
            (MOMENT, 2),
            (CONTENT, 1),
            ("http://", 0),
            ("https://", 0),
            ("style=", 0),
        ] {
            assert_eq!(FILE.matches(what).count(), times, "{what}");
        }
        let page = page("then", "<p><!--moment--><!--content-->");
        assert!(page.contains("<p><!--moment--><!--content-->"), "what is shown is not filled in again");
        assert_ne!(hash("style"), hash("script"));
    }
}
