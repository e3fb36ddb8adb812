//! Floats as Go's verbs write them.

/// A number's 53 significant bits and the power of two that they are multiplied with; 0 is 0 times 2 to the 0.
fn significand(n: f64) -> (u64, i32) {
    let (exponent, fraction) = ((n.to_bits() >> 52 & 0x7ff) as i32, n.to_bits() & ((1 << 52) - 1));
    match exponent {
        0 if fraction == 0 => (0, 0),
        0 => (fraction, -1074),
        _ => (fraction | 1 << 52, exponent - 1075),
    }
}

/// `%b`: `4503599627370496p-52`.
pub(super) fn binary(n: f64) -> String {
    let (bits, exponent) = significand(n);
    format!("{bits}p{:+}", if bits == 0 { -1074 } else { exponent })
}

/// `%x`: `0x1.8p+01`, with as many digits behind the point as there are, or as `precision` says.
pub(super) fn hexadecimal(n: f64, precision: Option<usize>) -> String {
    let (mut bits, mut exponent) = significand(n);
    if bits > 0 {
        // One digit before the point: the leading bit, which the numbers next to zero lack.
        let shift = bits.leading_zeros() - 11;
        (bits, exponent) = (bits << shift, exponent + 52 - shift as i32);
    }
    if let Some(precision) = precision.filter(|precision| *precision < 13) {
        let cut = 52 - 4 * precision as u32;
        let (rest, half) = (bits & ((1 << cut) - 1), 1 << (cut - 1));
        bits >>= cut;
        bits += u64::from(rest > half || rest == half && bits & 1 == 1);
        bits <<= cut;
        if bits >> 53 > 0 {
            (bits, exponent) = (bits >> 1, exponent + 1);
        }
    }
    let digits = format!("{:013x}", bits & ((1 << 52) - 1));
    let digits = match precision {
        Some(precision) => format!("{digits:0<precision$.precision$}", precision = precision.min(1000)),
        None => digits.trim_end_matches('0').to_owned(),
    };
    let point = if digits.is_empty() { "" } else { "." };
    format!("0x{}{point}{digits}p{exponent:+03}", bits >> 52)
}

/// `d.ddde±dd`
pub(super) fn scientific(n: f64, precision: Option<usize>, letter: char) -> String {
    let text = match precision {
        Some(precision) => format!("{n:.*e}", precision.min(1000)),
        None => format!("{n:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{mantissa}{letter}{sign}{exponent:0>2}")
}

/// `%#g` shows six digits or more, with zeros behind those that there are.
pub(super) fn kept(n: f64, precision: Option<usize>, sharp: bool) -> Option<usize> {
    let there = || format!("{n:e}").split('e').next().map_or(0, |digits| digits.replace('.', "").len());
    precision.or_else(|| sharp.then(|| there().max(6)))
}

/// `%g`: the shorter of the two, by Go's rule for where the exponent begins.
pub(super) fn general(n: f64, precision: Option<usize>, keep_zeros: bool, letter: char) -> String {
    if !n.is_finite() {
        return if n.is_nan() {
            "NaN"
        } else if n > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        }
        .into();
    }
    let wanted = precision.map(|p| p.clamp(1, 1000));
    let text = match wanted {
        Some(digits) => format!("{n:.*e}", digits - 1),
        None => format!("{n:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let mut mantissa = mantissa.to_owned();
    if !keep_zeros && mantissa.contains('.') {
        mantissa = mantissa.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let significant = mantissa.chars().filter(char::is_ascii_digit).count() as i32;
    let limit = match wanted {
        None => SHORTEST_LIMIT,
        Some(digits) if digits as i32 > significant && significant > exponent => significant,
        Some(digits) => digits as i32,
    };
    if exponent < -4 || exponent >= limit {
        let (sign, size) = if exponent < 0 { ('-', -exponent) } else { ('+', exponent) };
        return format!("{mantissa}{letter}{sign}{size:02}");
    }
    let decimals = (significant - 1 - exponent).max(0) as usize;
    format!("{n:.decimals$}")
}

/// The shortest form goes over to an exponent from here on.
const SHORTEST_LIMIT: i32 = 6;
