//! Go's `fmt`: what a value looks like as text, and `printf` with all its verbs and complaints.

mod number;

use crate::{
    quote::{printable, quote, quote_rune},
    types::Type,
    value::Value,
};
use number::{binary, general, hexadecimal, kept, scientific};
use std::fmt::Write;

/// A text may not grow beyond this: a template that doubles a variable in a loop is stopped.
pub const LONGEST: usize = 16 << 20;
/// Deeper values than this are not printed to their end.
const DEEPEST: usize = 300;

/// What `print` makes of its operands: blanks between two of which neither is text.
#[must_use]
pub fn print(operands: &[Value]) -> String {
    let mut out = Printer::default();
    let mut text = true;
    for (n, operand) in operands.iter().enumerate() {
        let is_text = matches!(operand, Value::Str(_));
        if n > 0 && !is_text && !text {
            out.text.push(' ');
        }
        out.value(operand, 'v', 0);
        text = is_text;
    }
    out.text
}

/// What `println` makes of its operands: blanks between all, a line's end after them.
#[must_use]
pub fn println(operands: &[Value]) -> String {
    let mut out = Printer::default();
    for (n, operand) in operands.iter().enumerate() {
        if n > 0 {
            out.text.push(' ');
        }
        out.value(operand, 'v', 0);
    }
    out.text.push('\n');
    out.text
}

/// `%v` of one value.
#[must_use]
pub fn plain(value: &Value) -> String {
    match value {
        Value::Str(text) => text.to_string(),
        _ => print(std::slice::from_ref(value)),
    }
}

/// Go's shortest form of a number: `1e+07` from seven digits on.
#[must_use]
pub fn float(n: f64) -> String {
    general(n, None, false, 'e')
}

/// Fills in a format.
#[must_use]
pub fn printf(format: &str, operands: &[Value]) -> String {
    let mut out = Printer::default();
    let mut args = Operands { all: operands, next: 0, reordered: false, good: true };
    let chars: Vec<char> = format.chars().collect();
    let mut at = 0;
    while at < chars.len() && out.text.len() <= LONGEST {
        if chars[at] != '%' {
            out.text.push(chars[at]);
            at += 1;
            continue;
        }
        at = out.verb(&chars, at + 1, &mut args);
    }
    if !args.reordered && args.next < operands.len() {
        out.flags = Flags::default();
        out.text.push_str("%!(EXTRA ");
        for (n, operand) in operands[args.next..].iter().enumerate() {
            if n > 0 {
                out.text.push_str(", ");
            }
            match operand {
                Value::Nil => out.text.push_str("<nil>"),
                other => {
                    let _ = write!(out.text, "{}=", other.kind_name());
                    out.value(other, 'v', 0);
                }
            }
        }
        out.text.push(')');
    }
    out.text
}

/// The operands of a `printf` and how far they are used up.
struct Operands<'a> {
    all: &'a [Value],
    next: usize,
    reordered: bool,
    good: bool,
}

impl<'a> Operands<'a> {
    fn take(&mut self) -> Option<&'a Value> {
        let value = self.all.get(self.next);
        self.next += usize::from(value.is_some());
        value
    }

    /// `[n]`: the next operand is the n-th.
    fn index(&mut self, chars: &[char], at: usize) -> (usize, bool) {
        if chars.get(at) != Some(&'[') {
            return (at, false);
        }
        self.reordered = true;
        let Some(end) = chars[at..].iter().position(|&c| c == ']').map(|n| at + n) else {
            self.good = false;
            return (at + 1, false);
        };
        let digits: String = chars[at + 1..end].iter().collect();
        match digits.parse::<usize>() {
            Ok(n) if n >= 1 && n <= self.all.len() => {
                self.next = n - 1;
                (end + 1, true)
            }
            _ => {
                self.good = false;
                (end + 1, true)
            }
        }
    }
}

#[derive(Clone, Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
    /// `%+v`: field names, not signs.
    names: bool,
    /// `%#v`: as Go's source has it.
    syntax: bool,
}

#[derive(Default)]
struct Printer {
    text: String,
    flags: Flags,
}

impl Printer {
    /// Writes one verb, which begins at `at` behind its percent sign; returns where the format goes on.
    fn verb(&mut self, chars: &[char], mut at: usize, args: &mut Operands) -> usize {
        self.flags = Flags::default();
        args.good = true;
        while let Some(flag) = chars.get(at) {
            match flag {
                '#' => self.flags.sharp = true,
                '0' => self.flags.zero = true,
                '+' => self.flags.plus = true,
                '-' => self.flags.minus = true,
                ' ' => self.flags.space = true,
                _ => break,
            }
            at += 1;
        }
        let indexed;
        (at, indexed) = args.index(chars, at);
        let mut after_index = indexed;
        if chars.get(at) == Some(&'*') {
            at += 1;
            match size(args.take()) {
                Some(width) => {
                    self.flags.minus |= width < 0;
                    self.flags.width = Some(width.unsigned_abs() as usize);
                }
                None => self.text.push_str("%!(BADWIDTH)"),
            }
            after_index = false;
        } else {
            let width;
            (width, at) = digits(chars, at);
            self.flags.width = width;
            if after_index && width.is_some() {
                args.good = false;
            }
        }
        if chars.get(at) == Some(&'.') {
            at += 1;
            if after_index {
                args.good = false;
            }
            (at, after_index) = args.index(chars, at);
            if chars.get(at) == Some(&'*') {
                at += 1;
                match size(args.take()).and_then(|n| usize::try_from(n).ok()) {
                    Some(precision) => self.flags.precision = Some(precision),
                    None => self.text.push_str("%!(BADPREC)"),
                }
                after_index = false;
            } else {
                let precision;
                (precision, at) = digits(chars, at);
                self.flags.precision = Some(precision.unwrap_or_default());
            }
        }
        if !after_index {
            (at, _) = args.index(chars, at);
        }
        let Some(&verb) = chars.get(at) else {
            self.text.push_str("%!(NOVERB)");
            return at;
        };
        at += 1;
        self.flags.zero &= !self.flags.minus;
        self.flags.names = verb == 'v' && self.flags.plus;
        self.flags.syntax = verb == 'v' && self.flags.sharp;
        self.flags.plus &= verb != 'v';
        self.flags.sharp &= verb != 'v';
        match verb {
            '%' => self.text.push('%'),
            _ if !args.good => _ = write!(self.text, "%!{verb}(BADINDEX)"),
            _ => match args.take() {
                None => _ = write!(self.text, "%!{verb}(MISSING)"),
                Some(operand) => self.value(operand, verb, 0),
            },
        }
        at
    }

    /// Writes one value by a verb.
    fn value(&mut self, value: &Value, verb: char, depth: usize) {
        if self.text.len() > LONGEST || depth > DEEPEST {
            return self.text.push('…');
        }
        if verb == 'T' && !matches!(value, Value::Nil) {
            return self.string(&Value::Nil, &value.kind_name(), 's');
        }
        match value {
            Value::Nil if depth > 0 && self.flags.syntax => {
                self.text.push_str("interface {}(nil)");
            }
            Value::Nil if depth > 0 => self.text.push_str("<nil>"),
            Value::Nil if matches!(verb, 'v' | 'T') => self.pad("<nil>"),
            Value::Nil => _ = write!(self.text, "%!{verb}(<nil>)"),
            Value::NilPtr(_) => match verb {
                'v' if self.flags.syntax => _ = write!(self.text, "({})(nil)", value.kind_name()),
                'v' => self.pad("<nil>"),
                'b' | 'o' | 'd' | 'x' | 'X' => self.integer(value, 0, false, verb),
                _ => _ = write!(self.text, "%!{verb}({}=<nil>)", value.kind_name()),
            },
            Value::Bool(truth) => match verb {
                't' | 'v' => self.pad(if *truth { "true" } else { "false" }),
                _ => self.bad(verb, value),
            },
            Value::Int(_, n) => self.integer(value, n.unsigned_abs(), *n < 0, verb),
            Value::Uint(_, n) => self.integer(value, *n, false, verb),
            Value::Float(n) => self.number(value, *n, verb),
            Value::Str(text) => self.string(value, text, verb),
            Value::Slice(_) | Value::Map(_) | Value::Struct(_) => self.many(value, verb, depth),
            Value::Counter(..) => self.text.push_str("0xc000000000"),
            Value::Object(object) => self.text.push_str(&object.text()),
        }
    }

    fn many(&mut self, value: &Value, verb: char, depth: usize) {
        let sharp = self.flags.syntax;
        match value {
            Value::Slice(slice) => {
                let (open, close) = if sharp { ("{", "}") } else { ("[", "]") };
                if sharp {
                    self.text.push_str(&value.kind_name());
                }
                self.text.push_str(open);
                for (n, item) in slice.items.iter().enumerate() {
                    if n > 0 {
                        self.text.push_str(if sharp { ", " } else { " " });
                    }
                    self.value(item, verb, depth + 1);
                }
                self.text.push_str(close);
            }
            Value::Map(map) => {
                let (open, close) = if sharp { ("{", "}") } else { ("[", "]") };
                self.text.push_str(&if sharp { value.kind_name() } else { "map".into() });
                self.text.push_str(open);
                for (n, (key, item)) in map.entries().iter().enumerate() {
                    if n > 0 {
                        self.text.push_str(if sharp { ", " } else { " " });
                    }
                    self.value(&key.value(), verb, depth + 1);
                    self.text.push(':');
                    self.value(item, verb, depth + 1);
                }
                self.text.push_str(close);
            }
            Value::Struct(record) => {
                // Go prints the address of a pointer inside a list; what it points to is the same in every run.
                if depth == 0 && record.pointer {
                    self.text.push('&');
                }
                if sharp {
                    self.text.push_str(record.shape.name);
                }
                self.text.push('{');
                for (n, item) in record.shown().enumerate() {
                    if n > 0 {
                        self.text.push_str(if sharp { ", " } else { " " });
                    }
                    if self.flags.names || sharp {
                        self.text.push_str(record.shape.fields[n].name);
                        self.text.push(':');
                    }
                    self.value(item, verb, depth + 1);
                }
                self.text.push('}');
            }
            _ => {}
        }
    }

    /// The complaint shows the value by the same flags.
    fn bad(&mut self, verb: char, value: &Value) {
        let _ = write!(self.text, "%!{verb}({}=", value.kind_name());
        self.value(value, 'v', 0);
        self.text.push(')');
    }

    fn string(&mut self, value: &Value, text: &str, verb: char) {
        let cut: String = match self.flags.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text.to_owned(),
        };
        match verb {
            'v' if self.flags.syntax => self.pad(&quote(&cut, false)),
            'v' | 's' => self.pad(&cut),
            'q' if self.flags.sharp && !cut.contains(|c: char| c == '`' || c.is_control() && c != '\t') => {
                self.pad(&format!("`{cut}`"))
            }
            'q' => self.pad(&quote(&cut, self.flags.plus)),
            'x' | 'X' => {
                let bytes = octets::bytes(text);
                let shown = bytes.iter().take(self.flags.precision.unwrap_or(usize::MAX));
                let hex: Vec<String> = shown
                    .map(|b| if verb == 'x' { format!("{b:02x}") } else { format!("{b:02X}") })
                    .collect();
                let prefix =
                    if self.flags.sharp && !hex.is_empty() { format!("0{verb}") } else { String::new() };
                let between = match (self.flags.space, prefix.is_empty()) {
                    (false, _) => String::new(),
                    (true, true) => " ".to_owned(),
                    (true, false) => format!(" {prefix}"),
                };
                self.pad(&format!("{prefix}{}", hex.join(&between)));
            }
            _ => self.bad(verb, value),
        }
    }

    fn integer(&mut self, value: &Value, n: u64, negative: bool, verb: char) {
        let unsigned = matches!(value, Value::Uint(..));
        let rune = |n| if negative { '\u{fffd}' } else { rune(n) };
        let digits = match verb {
            'v' if self.flags.syntax && unsigned => format!("0x{n:x}"),
            'v' | 'd' => n.to_string(),
            'b' => format!("{n:b}"),
            'o' | 'O' => format!("{n:o}"),
            'x' => format!("{n:x}"),
            'X' => format!("{n:X}"),
            'c' => return self.pad(&rune(n).to_string()),
            'q' => return self.pad(&quote_rune(rune(n), self.flags.plus)),
            'U' => return self.unicode(if negative { n.wrapping_neg() } else { n }),
            'e' | 'f' | 'g' | 'E' | 'F' | 'G' | 's' | 't' | 'p' => return self.bad(verb, value),
            _ => return self.bad(verb, value),
        };
        let mut digits = digits;
        if let Some(precision) = self.flags.precision {
            digits = if precision == 0 && n == 0 { String::new() } else { zeros(&digits, precision) };
        }
        let prefix = match verb {
            'b' if self.flags.sharp => "0b",
            'o' if self.flags.sharp && !digits.starts_with('0') => "0",
            'O' if self.flags.sharp && !digits.starts_with('0') => "0o0",
            'O' => "0o",
            'x' if self.flags.sharp => "0x",
            'X' if self.flags.sharp => "0X",
            _ => "",
        };
        let sign = self.sign(negative);
        if self.flags.zero && self.flags.precision.is_none() {
            let room = self.flags.width.unwrap_or_default().saturating_sub(sign.len());
            digits = zeros(&digits, room.min(LONGEST));
        }
        self.pad_with(&format!("{sign}{prefix}{digits}"), ' ');
    }

    fn unicode(&mut self, n: u64) {
        let mut text = format!("U+{n:04X}");
        if self.flags.sharp && printable(rune(n)) {
            let _ = write!(text, " '{}'", rune(n));
        }
        self.pad_with(&text, ' ');
    }

    fn number(&mut self, value: &Value, n: f64, verb: char) {
        let precision = self.flags.precision;
        let size = n.abs();
        let text = match verb {
            _ if !n.is_finite() => if n.is_nan() { "NaN" } else { "Inf" }.to_owned(),
            'v' if self.flags.syntax => general(size, None, false, 'e'),
            'v' | 'g' => general(size, kept(size, precision, self.flags.sharp), self.flags.sharp, 'e'),
            'G' => general(size, kept(size, precision, self.flags.sharp), self.flags.sharp, 'E'),
            'e' | 'E' => scientific(size, Some(precision.unwrap_or(6)), verb),
            'f' | 'F' => format!("{size:.*}", precision.unwrap_or(6).min(1000)),
            'b' => binary(size),
            'x' => hexadecimal(size, precision),
            'X' => hexadecimal(size, precision).to_uppercase(),
            _ => return self.bad(verb, value),
        };
        let negative = n.is_sign_negative() && !n.is_nan();
        let sign = if n.is_infinite() && !negative { "+".to_owned() } else { self.sign(negative) };
        if self.flags.zero && n.is_finite() {
            let room = self.flags.width.unwrap_or_default().saturating_sub(sign.len()).min(LONGEST);
            return self.pad_with(&format!("{sign}{}", zeros(&text, room)), ' ');
        }
        self.pad_with(&format!("{sign}{text}"), ' ');
    }

    fn sign(&self, negative: bool) -> String {
        match (negative, self.flags.plus, self.flags.space) {
            (true, ..) => "-".into(),
            (_, true, _) => "+".into(),
            (.., true) => " ".into(),
            _ => String::new(),
        }
    }

    fn pad(&mut self, text: &str) {
        let fill = if self.flags.zero { '0' } else { ' ' };
        self.pad_with(text, fill);
    }

    fn pad_with(&mut self, text: &str, fill: char) {
        let room = self.flags.width.unwrap_or_default().saturating_sub(text.chars().count()).min(LONGEST);
        if self.flags.minus {
            self.text.push_str(text);
            self.text.extend(std::iter::repeat_n(' ', room));
        } else {
            self.text.extend(std::iter::repeat_n(fill, room));
            self.text.push_str(text);
        }
    }
}

fn rune(n: u64) -> char {
    u32::try_from(n).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')
}

fn zeros(digits: &str, width: usize) -> String {
    format!("{}{digits}", "0".repeat(width.saturating_sub(digits.len()).min(LONGEST)))
}

/// Go allows widths up to a million.
fn size(operand: Option<&Value>) -> Option<i64> {
    match operand? {
        Value::Int(_, n) if n.abs() <= 1_000_000 => Some(*n),
        Value::Uint(_, n) => i64::try_from(*n).ok().filter(|n| *n <= 1_000_000),
        _ => None,
    }
}

fn digits(chars: &[char], at: usize) -> (Option<usize>, usize) {
    let end = chars[at..].iter().position(|c| !c.is_ascii_digit()).map_or(chars.len(), |n| at + n);
    let text: String = chars[at..end].iter().collect();
    (text.parse().ok().filter(|n| *n <= 1_000_000), end)
}

/// Whether a type's values are printed in a way that says nothing: a strict template refuses it.
#[must_use]
pub fn surprise(value: &Value) -> Option<String> {
    surprise_in(value, 0)
}

fn surprise_in(value: &Value, depth: usize) -> Option<String> {
    if depth > DEEPEST {
        return Some("the value holds itself".into());
    }
    match value {
        Value::Nil => Some("nothing is there to print (Go would write `<no value>`)".into()),
        Value::NilPtr(_) => Some("nothing is there to print (Go would write `<nil>`)".into()),
        Value::Float(n) if float(*n).contains('e') => {
            Some(format!("the number {n} would be printed as {}; use printf or parseInt", float(*n)))
        }
        Value::Float(n) if !n.is_finite() => Some(format!("the number is {}", float(*n))),
        Value::Slice(slice) => match slice.items.iter().find_map(|item| surprise_in(item, depth + 1)) {
            Some(why) => Some(why),
            None if matches!(slice.kind.under(), Type::Slice(Type::Ptr(_))) => {
                Some("a list of objects would be printed as memory addresses; use range".into())
            }
            None => None,
        },
        Value::Map(map) => map.entries().iter().find_map(|(_, item)| surprise_in(item, depth + 1)),
        Value::Counter(..) => Some("loop gives numbers to range over; it has no text".into()),
        _ => None,
    }
}
