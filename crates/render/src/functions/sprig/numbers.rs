//! Sprig's functions of numbers. Whatever they are given becomes a number first.

use super::{decimal::Decimal, float, int};
use crate::functions::{Function, at, int_at, open_row, row, text_at};
use gotemplate::{
    IntKind, Type, Value,
    types::{INT, INT64},
};

const ANY: Type = Type::Any;
const F: Type = Type::Float;
const LIST_OF_INT: Type = Type::Slice(&INT);
/// More numbers than this make no list.
const MOST: i64 = 1_000_000;

pub(super) const TABLE: &[Function] = &[
    row("sprig_int", &[ANY], INT, "as a whole number", (r#"{{ sprig_int "12" }}"#, "12"), |_, a| {
        Ok(Value::int(int(at(a, 0))))
    }),
    row(
        "sprig_int64",
        &[ANY],
        INT64,
        "as a whole number of 64 bits",
        (r#"{{ sprig_int64 "12" }}"#, "12"),
        |_, a| Ok(int64(int(at(a, 0)))),
    ),
    row("sprig_float64", &[ANY], F, "as a number", (r#"{{ sprig_float64 "1.5" }}"#, "1.5"), |_, a| {
        Ok(Value::Float(float(at(a, 0))))
    }),
    row(
        "sprig_atoi",
        &[Type::Str],
        INT,
        "a text as a whole number; 0 for what is none",
        (r#"{{ sprig_atoi "7" }}"#, "7"),
        |_, a| Ok(Value::int(text_at(a, 0).parse().unwrap_or_default())),
    ),
    row(
        "sprig_toDecimal",
        &[ANY],
        INT64,
        "octal digits as a number",
        (r#"{{ sprig_toDecimal "777" }}"#, "511"),
        |_, a| Ok(int64(i64::from_str_radix(&super::strval(at(a, 0)), 8).unwrap_or_default())),
    ),
    open_row("sprig_add", (&[], ANY), INT64, "the sum", ("{{ sprig_add 1 2 3 }}", "6"), |_, a| {
        Ok(int64(a.iter().fold(0, |n, x| n.wrapping_add(int(x)))))
    }),
    row("sprig_add1", &[ANY], INT64, "one more", ("{{ sprig_add1 2 }}", "3"), |_, a| {
        Ok(int64(int(at(a, 0)).wrapping_add(1)))
    }),
    row(
        "sprig_sub",
        &[ANY, ANY],
        INT64,
        "the first less the second",
        ("{{ sprig_sub 5 2 }}", "3"),
        |_, a| Ok(int64(int(at(a, 0)).wrapping_sub(int(at(a, 1))))),
    ),
    open_row("sprig_mul", (&[ANY], ANY), INT64, "the product", ("{{ sprig_mul 2 3 }}", "6"), |_, a| {
        Ok(int64(a.iter().fold(1, |n, x| n.wrapping_mul(int(x)))))
    }),
    row(
        "sprig_div",
        &[ANY, ANY],
        INT64,
        "the first by the second, whole",
        ("{{ sprig_div 7 2 }}", "3"),
        |_, a| divided(a, i64::wrapping_div),
    ),
    row("sprig_mod", &[ANY, ANY], INT64, "what is left of that", ("{{ sprig_mod 7 2 }}", "1"), |_, a| {
        divided(a, i64::wrapping_rem)
    }),
    open_row("sprig_max", (&[ANY], ANY), INT64, "the greatest", ("{{ sprig_max 1 3 2 }}", "3"), |_, a| {
        Ok(int64(a.iter().map(int).max().unwrap_or_default()))
    }),
    open_row(
        "sprig_biggest",
        (&[ANY], ANY),
        INT64,
        "the same",
        ("{{ sprig_biggest 1 3 2 }}", "3"),
        |_, a| Ok(int64(a.iter().map(int).max().unwrap_or_default())),
    ),
    open_row("sprig_min", (&[ANY], ANY), INT64, "the smallest", ("{{ sprig_min 2 1 3 }}", "1"), |_, a| {
        Ok(int64(a.iter().map(int).min().unwrap_or_default()))
    }),
    open_row(
        "sprig_addf",
        (&[], ANY),
        F,
        "the sum, with fractions",
        ("{{ sprig_addf 1.5 2 }}", "3.5"),
        |_, a| Ok(folded(a, (Decimal::plus, |x, y| x + y))),
    ),
    row("sprig_add1f", &[ANY], F, "one more, with a fraction", ("{{ sprig_add1f 1.5 }}", "2.5"), |_, a| {
        Ok(folded(&[at(a, 0).clone(), Value::int(1)], (Decimal::plus, |x, y| x + y)))
    }),
    open_row(
        "sprig_subf",
        (&[ANY], ANY),
        F,
        "the first less the others",
        ("{{ sprig_subf 3 1.5 }}", "1.5"),
        |_, a| Ok(folded(a, (Decimal::minus, |x, y| x - y))),
    ),
    open_row(
        "sprig_mulf",
        (&[ANY], ANY),
        F,
        "the product, with fractions",
        ("{{ sprig_mulf 1.5 2 }}", "3"),
        |_, a| Ok(folded(a, (Decimal::times, |x, y| x * y))),
    ),
    open_row(
        "sprig_divf",
        (&[ANY], ANY),
        F,
        "the first by the others",
        ("{{ sprig_divf 3 2 }}", "1.5"),
        |_, a| {
            let zero = |by| Decimal::of(float(by)).is_some_and(Decimal::is_zero);
            match a[1..].iter().any(zero) {
                true => Err("decimal division by 0".into()),
                false => Ok(folded(a, (Decimal::over, |x, y| x / y))),
            }
        },
    ),
    open_row(
        "sprig_maxf",
        (&[ANY], ANY),
        F,
        "the greatest, with fractions",
        ("{{ sprig_maxf 1.5 2 }}", "2"),
        |_, a| Ok(Value::Float(a.iter().map(float).reduce(f64::max).unwrap_or_default())),
    ),
    open_row(
        "sprig_minf",
        (&[ANY], ANY),
        F,
        "the smallest, with fractions",
        ("{{ sprig_minf 1.5 2 }}", "1.5"),
        |_, a| Ok(Value::Float(a.iter().map(float).reduce(f64::min).unwrap_or_default())),
    ),
    row("sprig_ceil", &[ANY], F, "the next whole number above", ("{{ sprig_ceil 1.2 }}", "2"), |_, a| {
        Ok(Value::Float(float(at(a, 0)).ceil()))
    }),
    row("sprig_floor", &[ANY], F, "the next whole number below", ("{{ sprig_floor 1.8 }}", "1"), |_, a| {
        Ok(Value::Float(float(at(a, 0)).floor()))
    }),
    open_row(
        "sprig_round",
        (&[ANY, INT], F),
        F,
        "to so many digits behind the point",
        ("{{ sprig_round 1.256 2 }}", "1.26"),
        |_, a| Ok(rounded(a)),
    ),
    row(
        "sprig_randInt",
        &[INT, INT],
        INT,
        "a number from the first to before the second, the same each time",
        ("{{ sprig_randInt 1 2 }}", "1"),
        |_, a| {
            let (from, to) = (int_at(a, 0), int_at(a, 1));
            if to <= from {
                return Err("invalid argument to Intn".into());
            }
            let drawn = (from as u64 ^ (to as u64).rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
            Ok(Value::int(from + (drawn % (to - from) as u64) as i64))
        },
    ),
    row(
        "sprig_until",
        &[INT],
        LIST_OF_INT,
        "the numbers from 0 to before this",
        ("{{ sprig_until 3 }}", "[0 1 2]"),
        |_, a| {
            let n = int_at(a, 0);
            steps(0, n, if n < 0 { -1 } else { 1 })
        },
    ),
    row(
        "sprig_untilStep",
        &[INT, INT, INT],
        LIST_OF_INT,
        "from, to before, by",
        ("{{ sprig_untilStep 0 10 3 }}", "[0 3 6 9]"),
        |_, a| steps(int_at(a, 0), int_at(a, 1), int_at(a, 2)),
    ),
    open_row(
        "sprig_seq",
        (&[], INT),
        Type::Str,
        "numbers as `seq` prints them, with blanks between",
        ("{{ sprig_seq 1 3 }}", "1 2 3"),
        |_, a| sequence(a),
    ),
];

fn int64(n: i64) -> Value {
    Value::Int(IntKind::I64, n)
}

fn divided(a: &[Value], divide: fn(i64, i64) -> i64) -> Result<Value, String> {
    match int(at(a, 1)) {
        0 => Err("runtime error: integer divide by zero".into()),
        by => Ok(int64(divide(int(at(a, 0)), by))),
    }
}

type Step = (fn(Decimal, Decimal) -> Option<Decimal>, fn(f64, f64) -> f64);

/// One number after the other, in decimal digits where those suffice.
fn folded(a: &[Value], (step, roughly): Step) -> Value {
    let numbers = || a.iter().map(float);
    let exactly = || {
        let mut decimals = numbers().map(Decimal::of);
        let first = decimals.next()??;
        decimals.try_fold(first, |sum, n| step(sum, n?)).map(Decimal::float)
    };
    Value::Float(exactly().unwrap_or_else(|| numbers().reduce(roughly).unwrap_or_default()))
}

fn rounded(a: &[Value]) -> Value {
    let (n, digits) = (float(at(a, 0)), int_at(a, 1).clamp(-300, 300) as i32);
    let from = match a.get(2) {
        Some(Value::Float(from)) => *from,
        _ => 0.5,
    };
    let scale = 10f64.powi(digits);
    let scaled = n * scale;
    let whole = if scaled - scaled.trunc() >= from { scaled.ceil() } else { scaled.floor() };
    Value::Float(whole / scale)
}

fn steps(from: i64, to: i64, by: i64) -> Result<Value, String> {
    let mut items = vec![];
    let mut n = from;
    while by != 0 && ((by > 0 && n < to) || (by < 0 && n > to)) {
        if items.len() as i64 > MOST {
            return Err("that many numbers are too many".into());
        }
        items.push(Value::int(n));
        let Some(next) = n.checked_add(by) else { break };
        n = next;
    }
    Ok(Value::slice(LIST_OF_INT, items))
}

fn sequence(a: &[Value]) -> Result<Value, String> {
    let n = |at: usize| int_at(a, at);
    let (from, by, to) = match a.len() {
        1 => (1, if n(0) < 1 { -1 } else { 1 }, n(0)),
        2 => (n(0), if n(1) < n(0) { -1 } else { 1 }, n(1)),
        3 => (n(0), n(1), n(2)),
        _ => return Ok("".into()),
    };
    if by == 0 || (by > 0 && to < from) || (by < 0 && to > from) {
        return Ok("".into());
    }
    let list = steps(from, to.saturating_add(by.signum()), by)?;
    let texts: Vec<String> = list.items().unwrap_or_default().iter().map(super::strval).collect();
    Ok(texts.join(" ").into())
}
