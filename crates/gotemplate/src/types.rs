//! Go's types, as far as templates see them: what a value is called, what fits where, what a missing entry is.

use crate::value::Value;
use std::fmt;

/// A type, named as Go names it in its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `interface {}`: holds anything.
    Any,
    /// `bool`
    Bool,
    /// `int` and its kin.
    Int(IntKind),
    /// `uint` and its kin.
    Uint(UintKind),
    /// `float64`
    Float,
    /// `string`
    Str,
    /// `[]T`
    Slice(&'static Type),
    /// `map[K]V`
    Map(&'static Type, &'static Type),
    /// A type with a name of its own, such as `dependency.ServiceTags`.
    Named(&'static str, &'static Type),
    /// A struct.
    Struct(&'static Shape),
    /// A pointer to a struct.
    Ptr(&'static Shape),
    /// Something with nothing but a name (and methods, maybe).
    Opaque(&'static str),
}

/// Signed integers that templates meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IntKind {
    /// `int`
    Int,
    /// `int64`
    I64,
}

/// Unsigned integers that templates meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UintKind {
    /// `uint64`
    U64,
    /// `uint8`: what indexing a string gives.
    U8,
}

/// The fields of a struct.
#[derive(Debug)]
pub struct Shape {
    /// Its name, such as `dependency.HealthService`.
    pub name: &'static str,
    /// Its fields in order.
    pub fields: &'static [Field],
}

/// One field.
#[derive(Debug)]
pub struct Field {
    /// Its name, in templates and in JSON.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// Whether it is read by its name alone: left out where the struct is printed or written as JSON.
    pub hidden: bool,
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Shape {}

/// `[]interface {}`
pub const LIST: Type = Type::Slice(&Type::Any);
/// `[]string`
pub const STRINGS: Type = Type::Slice(&Type::Str);
/// `map[string]interface {}`
pub const DICT: Type = Type::Map(&Type::Str, &Type::Any);
/// `map[string]string`
pub const STRING_MAP: Type = Type::Map(&Type::Str, &Type::Str);
/// `map[interface {}]interface {}`, which YAML gives.
pub const ANY_MAP: Type = Type::Map(&Type::Any, &Type::Any);
/// `int`
pub const INT: Type = Type::Int(IntKind::Int);
/// `int64`
pub const INT64: Type = Type::Int(IntKind::I64);
/// `uint64`
pub const UINT64: Type = Type::Uint(UintKind::U64);

impl Type {
    /// The type below a name.
    #[must_use]
    pub fn under(self) -> Type {
        match self {
            Type::Named(_, under) => under.under(),
            other => other,
        }
    }

    /// Whether `nil` is a value of it.
    #[must_use]
    pub fn holds_nil(self) -> bool {
        matches!(self.under(), Type::Any | Type::Slice(_) | Type::Map(..) | Type::Ptr(_) | Type::Opaque(_))
    }

    /// Whether a value of this type may stand where `wanted` is asked for.
    #[must_use]
    pub fn fits(self, wanted: Type) -> bool {
        if wanted == Type::Any || self == wanted {
            return true;
        }
        let named = |kind| matches!(kind, Type::Named(..));
        // Go: identical underlying types, and one of the two has no name of its own.
        named(self) != named(wanted) && self.under() == wanted.under() && !matches!(self.under(), Type::Str)
    }

    /// What an entry that is not there is, as `missingkey=zero` has it.
    #[must_use]
    pub fn zero(self) -> Value {
        match self.under() {
            Type::Bool => Value::Bool(false),
            Type::Int(kind) => Value::Int(kind, 0),
            Type::Uint(kind) => Value::Uint(kind, 0),
            Type::Float => Value::Float(0.0),
            Type::Str => Value::text(""),
            Type::Slice(_) => Value::nil_slice(self),
            Type::Map(..) => Value::nil_map(self),
            Type::Ptr(shape) => Value::NilPtr(shape),
            Type::Struct(shape) => {
                let fields = shape.fields.iter().map(|field| field.kind.zero()).collect();
                Value::record(shape, false, fields)
            }
            Type::Any | Type::Opaque(_) | Type::Named(..) => Value::Nil,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Any => f.write_str("interface {}"),
            Type::Bool => f.write_str("bool"),
            Type::Int(IntKind::Int) => f.write_str("int"),
            Type::Int(IntKind::I64) => f.write_str("int64"),
            Type::Uint(UintKind::U64) => f.write_str("uint64"),
            Type::Uint(UintKind::U8) => f.write_str("uint8"),
            Type::Float => f.write_str("float64"),
            Type::Str => f.write_str("string"),
            Type::Slice(item) => write!(f, "[]{item}"),
            Type::Map(key, item) => write!(f, "map[{key}]{item}"),
            Type::Struct(shape) => f.write_str(shape.name),
            Type::Ptr(shape) => write!(f, "*{}", shape.name),
            Type::Named(name, _) | Type::Opaque(name) => f.write_str(name),
        }
    }
}
