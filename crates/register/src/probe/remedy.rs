//! Redis' errors in plain English, each with what to do about it.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What went wrong between this program and Redis (or Sentinel), and what to do about it.
#[must_use]
pub fn explain(error: &RedisError) -> String {
    let said = error.detail().unwrap_or_default();
    match (error.kind(), error.code()) {
        (_, Some("NOAUTH")) => advise(said, "it wants a password: set password or password_file"),
        // With AUTH (RESP2) the crate keeps neither code nor text.
        (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS")) => advise(
            said,
            "the user name or the password is wrong: compare username, password and password_file with its ACL LIST",
        ),
        (ErrorKind::Server(ServerErrorKind::NoPerm), _) | (_, Some("NOPERM")) => {
            let right = named_right(said).unwrap_or("+role +info +hello (on a Sentinel: +sentinel)".into());
            advise(said, &format!("the user may not do this: grant it with ACL SETUSER NAME {right}"))
        }
        (ErrorKind::Server(ServerErrorKind::BusyLoading), _) => {
            advise(said, "it is still reading its data set from disk and will serve after that")
        }
        (_, Some("BUSY")) => {
            advise(said, "a Lua script or function blocks it: SCRIPT KILL or FUNCTION KILL ends that")
        }
        (_, Some("MASTERDOWN")) => {
            advise(said, "a replica without its master refuses stale reads (replica-serve-stale-data no)")
        }
        (_, Some("DENIED")) => {
            advise(said, "protected mode: set a password, bind it to an interface, or connect over loopback")
        }
        _ if said.starts_with("unknown command") && said.to_ascii_uppercase().contains("SENTINEL") => advise(
            said,
            "a Redis data node answers here, not a Sentinel: name Sentinel's own port (26379 by default)",
        ),
        (ErrorKind::Parse, _) => {
            "what it answers is not Redis' protocol: is this the port of Redis, and not of another server?"
                .into()
        }
        _ if said.contains("max number of clients") => advise(said, "raise maxclients or close idle clients"),
        _ if said.contains("without any password configured") => {
            advise(said, "it has no password for this user: remove password and password_file")
        }
        (ErrorKind::Io, _) if error.to_string().contains("No such file") => {
            "there is no such socket: is it running, and is this the path of its unixsocket?".into()
        }
        (ErrorKind::Io, _) if error.is_connection_refusal() => "connection refused: is it running?".into(),
        (ErrorKind::Io, _) if error.is_connection_dropped() => {
            format!("the connection was closed: is it restarting, or does this port want TLS? ({error})")
        }
        (ErrorKind::Io, _) => tls(&error.to_string()),
        _ => error.to_string(),
    }
}

/// The right of the command that Redis names in its refusal: `… to run the 'client|pause' command`.
fn named_right(said: &str) -> Option<String> {
    let (_, rest) = said.split_once("to run the '")?;
    let (command, _) = rest.split_once('\'')?;
    Some(format!("+{command}"))
}

fn advise(said: &str, advice: &str) -> String {
    if said.is_empty() { advice.into() } else { format!("{advice} (it said: {said})") }
}

/// A handshake that fails says so in rustls' words, or ends with a closed connection.
pub(super) fn tls(text: &str) -> String {
    let advice = if text.contains("UnknownIssuer") {
        "its certificate is signed by an authority that is not trusted: set tls { ca_cert }"
    } else if text.contains("NotValidForName") || text.contains("not valid for name") {
        "its certificate is for another name: set tls { server_name }"
    } else if text.contains("InvalidContentType") || text.contains("corrupt message") {
        "it does not speak TLS on this port: remove tls {} or use the TLS port"
    } else if text.contains("CertificateRequired") || text.contains("certificate required") {
        "it wants a client certificate: set tls { cert, key }"
    } else {
        return text.into();
    };
    format!("{advice} ({text})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(line: &str) -> RedisError {
        match redis::parse_redis_value(format!("-{line}\r\n").as_bytes()) {
            Ok(redis::Value::ServerError(error)) => error.into(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_known_error_says_what_to_do() {
        for (line, advice) in [
            ("NOAUTH Authentication required.", "set password or password_file"),
            ("NOAUTH HELLO must be called with the client already authenticated", "set password"),
            ("WRONGPASS invalid username-password pair or user is disabled.", "ACL LIST"),
            ("NOPERM this user has no permissions to run the 'role' command", "SETUSER NAME +role (it"),
            (
                "NOPERM this user has no permissions to run the 'client|pause' command",
                "SETUSER NAME +client|pause (it",
            ),
            ("NOPERM No permissions to access a channel", "+role +info"),
            ("ERR unknown command 'SENTINEL', with args beginning with: 'MASTER'", "26379"),
            ("ERR unknown command `sentinel`, with args beginning with: `master`", "26379"),
            ("LOADING Redis is loading the dataset in memory", "reading its data set"),
            ("BUSY Redis is busy running a script. You can only call SCRIPT KILL", "SCRIPT KILL"),
            ("MASTERDOWN Link with MASTER is down", "replica-serve-stale-data"),
            ("DENIED Redis is running in protected mode", "protected mode"),
            ("ERR max number of clients reached", "maxclients"),
            (
                "ERR AUTH <password> called without any password configured for the default user.",
                "remove password",
            ),
            ("ERR something new", "something new"),
        ] {
            let text = explain(&server(line));
            assert!(text.contains(advice), "{line}: {text}");
        }
        let refused = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        assert_eq!(explain(&refused), "connection refused: is it running?");
        let http = redis::parse_redis_value(b"HTTP/1.1 400 Bad Request\r\n").unwrap_err();
        assert!(explain(&http).contains("is not Redis' protocol"), "{}", explain(&http));
    }
}
