//! Numbers. As in Go's pipes the last argument is the one worked on: `5 | subtract 2` is 3.

use super::{Function, at, row};
use gotemplate::{IntKind, Type, UintKind, Value, print::printf};

const ANY: Type = Type::Any;
const TWO: &[Type] = &[ANY, ANY];

pub(super) const TABLE: &[Function] = &[
    row("add", TWO, ANY, "the sum", ("{{ 2 | add 3 }}", "5"), |_, a| {
        compute("add", a, |x, y| Some(x.wrapping_add(y)), |x, y| Some(x.wrapping_add(y)), Some(|x, y| x + y))
    }),
    row("subtract", TWO, ANY, "the last less the first", ("{{ 5 | subtract 2 }}", "3"), |_, a| {
        compute(
            "subtract",
            a,
            |x, y| Some(x.wrapping_sub(y)),
            |x, y| Some(x.wrapping_sub(y)),
            Some(|x, y| x - y),
        )
    }),
    row("multiply", TWO, ANY, "the product", ("{{ 5 | multiply 2 }}", "10"), |_, a| {
        compute(
            "multiply",
            a,
            |x, y| Some(x.wrapping_mul(y)),
            |x, y| Some(x.wrapping_mul(y)),
            Some(|x, y| x * y),
        )
    }),
    row(
        "divide",
        TWO,
        ANY,
        "the last by the first; whole numbers give a whole number",
        ("{{ 7 | divide 2 }}", "3"),
        |_, a| {
            compute(
                "divide",
                a,
                |x, y| (y != 0).then(|| x.wrapping_div(y)),
                |x, y| x.checked_div(y),
                Some(|x, y| x / y),
            )
        },
    ),
    row(
        "modulo",
        TWO,
        ANY,
        "what is left of the last after a division by the first",
        ("{{ 7 | modulo 4 }}", "3"),
        |_, a| {
            compute("modulo", a, |x, y| (y != 0).then(|| x.wrapping_rem(y)), |x, y| x.checked_rem(y), None)
        },
    ),
    row("minimum", TWO, ANY, "the smaller", ("{{ minimum 2 5 }}", "2"), |_, a| {
        compute("minimum", a, |x, y| Some(x.min(y)), |x, y| Some(x.min(y)), Some(f64::min))
    }),
    row("maximum", TWO, ANY, "the greater", ("{{ maximum 2 5 }}", "5"), |_, a| {
        compute("maximum", a, |x, y| Some(x.max(y)), |x, y| Some(x.max(y)), Some(f64::max))
    }),
];

fn compute(
    name: &str,
    arguments: &[Value],
    ints: fn(i64, i64) -> Option<i64>,
    uints: fn(u64, u64) -> Option<u64>,
    floats: Option<fn(f64, f64) -> f64>,
) -> Result<Value, String> {
    let (b, a) = (at(arguments, 0), at(arguments, 1));
    let numeric = |value: &Value| match value {
        Value::Int(..) | Value::Uint(..) => true,
        Value::Float(_) => floats.is_some(),
        _ => false,
    };
    for value in [b, a] {
        if !numeric(value) {
            let shown = match value {
                Value::Nil => "<invalid reflect.Value>".to_owned(),
                value => printf("%q", std::slice::from_ref(value)),
            };
            return Err(format!("{name}: unknown type for {shown} ({})", value.kind_name()));
        }
    }
    let zero = || "runtime error: integer divide by zero".to_owned();
    match (a, b, floats) {
        (Value::Float(_), _, Some(compute)) | (_, Value::Float(_), Some(compute)) => {
            Ok(Value::Float(compute(float(a), float(b))))
        }
        (Value::Uint(_, a), Value::Uint(_, b), _) => {
            uints(*a, *b).map(|n| Value::Uint(UintKind::U64, n)).ok_or_else(zero)
        }
        _ => ints(int(a), int(b)).map(|n| Value::Int(IntKind::I64, n)).ok_or_else(zero),
    }
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Int(_, n) => *n as f64,
        Value::Uint(_, n) => *n as f64,
        Value::Float(n) => *n,
        _ => 0.0,
    }
}

fn int(value: &Value) -> i64 {
    match value {
        Value::Int(_, n) => *n,
        Value::Uint(_, n) => *n as i64,
        _ => 0,
    }
}
