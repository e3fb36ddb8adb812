//! Number literals.

use crate::value::Value;

/// A number literal: a float if it is written as one, else an int. The error says why it is none.
pub(super) fn number(text: &str) -> Result<Value, &'static str> {
    const ILLEGAL: &str = "illegal number syntax";
    const TOO_LARGE: &str = "integer overflow";
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') && !lower.contains(['.', 'e']) => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // An underscore stands between digits, or behind the prefix.
    let apart = if body.len() < lower.len() { body.strip_prefix('_').unwrap_or(body) } else { body };
    if apart.split('_').any(|digits| !digits.starts_with(|c: char| c.is_ascii_hexdigit() || c == '.'))
        || apart.contains("_.")
        || apart.contains("._")
    {
        return Err(ILLEGAL);
    }
    let body = apart.replace('_', "");
    let signed = |n: f64| Value::Float(if negative { -n } else { n });
    if radix == 16 && body.contains('p') {
        return hex_float(&body).map(signed).ok_or(ILLEGAL);
    }
    if radix == 10 && body.contains(['.', 'e']) {
        return body.parse::<f64>().ok().filter(|n| n.is_finite()).map(signed).ok_or(ILLEGAL);
    }
    match u64::from_str_radix(&body, radix) {
        Ok(n) if negative && n <= 1 << 63 => Ok(Value::int((n as i64).wrapping_neg())),
        Ok(_) if negative => Err(TOO_LARGE),
        Ok(n) if n > i64::MAX as u64 => Ok(Value::Uint(crate::types::UintKind::U64, n)),
        Ok(n) => Ok(Value::int(n as i64)),
        Err(_) if body.bytes().all(|b| b.is_ascii_digit()) => Err(TOO_LARGE),
        Err(_) => Err(ILLEGAL),
    }
}

fn hex_float(body: &str) -> Option<f64> {
    let (mantissa, exponent) = body.split_once('p')?;
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = u64::from_str_radix(&format!("{whole}{part}"), 16).ok()?;
    let exponent: i32 = exponent.parse().ok()?;
    Some(digits as f64 * 2f64.powi(exponent - 4 * part.len() as i32))
}
