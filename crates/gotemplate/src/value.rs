//! What a template computes with. Cloning is cheap: everything large is shared.

use crate::types::{DICT, IntKind, LIST, STRINGS, Shape, Type, UintKind};
use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// A value with its Go type.
#[derive(Clone, Debug)]
pub enum Value {
    /// `nil`, or no value at all.
    Nil,
    /// A nil pointer to a struct.
    NilPtr(&'static Shape),
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    Int(IntKind, i64),
    /// An unsigned integer.
    Uint(UintKind, u64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Str(Arc<str>),
    /// A list.
    Slice(Arc<Slice>),
    /// A map.
    Map(Arc<Map>),
    /// A struct, or a pointer to one.
    Struct(Arc<Struct>),
    /// The numbers from the first to before the second, one after the other, as consul-template's `loop` sends them.
    Counter(i64, i64),
    /// Something with methods.
    Object(Arc<dyn Object>),
}

/// Something with methods, such as consul-template's `scratch`.
pub trait Object: fmt::Debug + Send + Sync {
    /// What it is called.
    fn kind(&self) -> &'static str;
    /// Its printed form.
    fn text(&self) -> String;
    /// Calls a method; `None` when there is no such method.
    fn call(&self, method: &str, arguments: &[Value]) -> Option<Result<Value, String>>;
}

/// A list of one type.
#[derive(Debug)]
pub struct Slice {
    /// The list's own type.
    pub kind: Type,
    /// What it holds.
    pub items: Vec<Value>,
    /// Go's nil slice: prints as an empty one, is `null` in JSON.
    pub nil: bool,
    depth: u32,
}

/// A map. Go's maps are shared and can be changed by `set`, so this one can be.
#[derive(Debug)]
pub struct Map {
    /// The map's own type.
    pub kind: Type,
    /// Go's nil map: prints as an empty one, is `null` in JSON.
    pub nil: bool,
    entries: RwLock<BTreeMap<Key, Value>>,
    depth: u32,
}

/// A struct's values, in the order of its shape.
#[derive(Debug)]
pub struct Struct {
    /// Its fields' names and types.
    pub shape: &'static Shape,
    /// Whether this is a pointer to it.
    pub pointer: bool,
    /// The fields' values.
    pub fields: Vec<Value>,
}

/// A key of a map.
#[derive(Clone, Debug)]
pub enum Key {
    /// A truth value.
    Bool(bool),
    /// A number without a fraction.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text.
    Str(Arc<str>),
    /// `null`, in YAML.
    Nil,
}

/// How deep lists may lie in lists; what is deeper could not be printed or dropped in bounded stack.
pub const DEEPEST: u32 = 200;

impl Value {
    /// Text.
    #[must_use]
    pub fn text(text: impl Into<Arc<str>>) -> Value {
        Value::Str(text.into())
    }

    /// An `int`.
    #[must_use]
    pub fn int(n: i64) -> Value {
        Value::Int(IntKind::Int, n)
    }

    /// A list of type `kind`.
    #[must_use]
    pub fn slice(kind: Type, items: Vec<Value>) -> Value {
        let depth = 1 + items.iter().map(Value::depth).max().unwrap_or_default();
        Value::Slice(Arc::new(Slice { kind, items, nil: false, depth }))
    }

    /// `[]interface {}`
    #[must_use]
    pub fn list(items: Vec<Value>) -> Value {
        Value::slice(LIST, items)
    }

    /// `[]string`
    #[must_use]
    pub fn strings<T: Into<Arc<str>>>(items: impl IntoIterator<Item = T>) -> Value {
        Value::slice(STRINGS, items.into_iter().map(Value::text).collect())
    }

    /// Go's nil slice of type `kind`.
    #[must_use]
    pub fn nil_slice(kind: Type) -> Value {
        Value::Slice(Arc::new(Slice { kind, items: vec![], nil: true, depth: 1 }))
    }

    /// A map of type `kind`.
    #[must_use]
    pub fn map(kind: Type, entries: BTreeMap<Key, Value>) -> Value {
        let depth = 1 + entries.values().map(Value::depth).max().unwrap_or_default();
        Value::Map(Arc::new(Map { kind, nil: false, entries: RwLock::new(entries), depth }))
    }

    /// `map[string]interface {}`
    #[must_use]
    pub fn dict<K: Into<Arc<str>>>(entries: impl IntoIterator<Item = (K, Value)>) -> Value {
        Value::map(DICT, entries.into_iter().map(|(key, value)| (Key::Str(key.into()), value)).collect())
    }

    /// Go's nil map of type `kind`.
    #[must_use]
    pub fn nil_map(kind: Type) -> Value {
        Value::Map(Arc::new(Map { kind, nil: true, entries: RwLock::default(), depth: 1 }))
    }

    /// A struct, or a pointer to one; `fields` in the order of the shape.
    #[must_use]
    pub fn record(shape: &'static Shape, pointer: bool, fields: Vec<Value>) -> Value {
        debug_assert_eq!(shape.fields.len(), fields.len(), "{}", shape.name);
        Value::Struct(Arc::new(Struct { shape, pointer, fields }))
    }

    /// Its type; nil has none.
    #[must_use]
    pub fn kind(&self) -> Option<Type> {
        Some(match self {
            Value::Nil => return None,
            Value::NilPtr(shape) => Type::Ptr(shape),
            Value::Bool(_) => Type::Bool,
            Value::Int(kind, _) => Type::Int(*kind),
            Value::Uint(kind, _) => Type::Uint(*kind),
            Value::Float(_) => Type::Float,
            Value::Str(_) => Type::Str,
            Value::Slice(slice) => slice.kind,
            Value::Map(map) => map.kind,
            Value::Struct(record) if record.pointer => Type::Ptr(record.shape),
            Value::Struct(record) => Type::Struct(record.shape),
            Value::Counter(..) => Type::Opaque("<-chan int64"),
            Value::Object(object) => Type::Opaque(object.kind()),
        })
    }

    /// The type's name; `<nil>` for nil.
    #[must_use]
    pub fn kind_name(&self) -> String {
        self.kind().map_or_else(|| "<nil>".into(), |kind| kind.to_string())
    }

    /// Whether `if` takes it for true.
    #[must_use]
    pub fn truth(&self) -> bool {
        match self {
            Value::Nil | Value::NilPtr(_) => false,
            Value::Bool(truth) => *truth,
            Value::Int(_, n) => *n != 0,
            Value::Uint(_, n) => *n != 0,
            Value::Float(n) => *n != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::Slice(slice) => !slice.items.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Struct(_) | Value::Counter(..) | Value::Object(_) => true,
        }
    }

    /// Whether it is nil: nothing at all, or a pointer, a list or a map that was never made.
    #[must_use]
    pub fn is_nil(&self) -> bool {
        match self {
            Value::Nil | Value::NilPtr(_) => true,
            Value::Slice(slice) => slice.nil,
            Value::Map(map) => map.nil,
            _ => false,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Value::Str(text) = self { Some(text) } else { None }
    }

    /// The list's items, if it is one.
    #[must_use]
    pub fn items(&self) -> Option<&[Value]> {
        if let Value::Slice(slice) = self { Some(&slice.items) } else { None }
    }

    /// A field of a struct, or a text key of a map.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Value> {
        match self {
            Value::Struct(record) => {
                let at = record.shape.fields.iter().position(|field| field.name == name)?;
                record.fields.get(at).cloned()
            }
            Value::Map(map) => map.get(&Key::Str(name.into())),
            _ => None,
        }
    }

    /// A field's text; empty when there is none.
    #[must_use]
    pub fn field_text(&self, name: &str) -> Arc<str> {
        match self.field(name) {
            Some(Value::Str(text)) => text,
            _ => "".into(),
        }
    }

    fn depth(&self) -> u32 {
        match self {
            Value::Slice(slice) => slice.depth,
            Value::Map(map) => map.depth,
            // A struct's fields are as they came from outside.
            _ => 0,
        }
    }

    /// What making it costs, in steps: one for 64 bytes of text, or for an item.
    #[must_use]
    pub fn weight(&self) -> u64 {
        match self {
            Value::Str(text) => text.len() as u64 / 64,
            Value::Slice(slice) => slice.items.len() as u64,
            Value::Map(map) => map.len() as u64,
            _ => 0,
        }
    }

    /// What looking through it costs; an item is found faster than made.
    #[must_use]
    pub fn weight_to_read(&self) -> u64 {
        if matches!(self, Value::Str(_)) { self.weight() } else { self.weight() / 16 }
    }

    /// Whether it lies too deep to be handled in bounded stack.
    #[must_use]
    pub fn too_deep(&self) -> bool {
        self.depth() > DEEPEST
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::text(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

impl Map {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<Key, Value>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<Key, Value>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Value> {
        self.read().get(key).cloned()
    }

    /// All entries as they are now.
    #[must_use]
    pub fn entries(&self) -> Vec<(Key, Value)> {
        self.read().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Changes the map. Whoever does empties it in the end: a map that is changed can hold itself.
    pub fn set(&self, key: Key, value: Value) {
        self.write().insert(key, value);
    }

    /// Takes an entry out.
    pub fn remove(&self, key: &Key) -> Option<Value> {
        self.write().remove(key)
    }

    /// Takes all entries out.
    pub fn clear(&self) {
        let taken = std::mem::take(&mut *self.write());
        drop(taken);
    }

    /// The type of its values.
    #[must_use]
    pub fn item(&self) -> Type {
        if let Type::Map(_, item) = self.kind.under() { *item } else { Type::Any }
    }
}

impl Struct {
    /// The values of the fields that are printed.
    pub fn shown(&self) -> impl Iterator<Item = &Value> {
        self.shape.fields.iter().zip(&self.fields).filter(|(field, _)| !field.hidden).map(|(_, value)| value)
    }
}

impl Key {
    /// A value as a key; `None` for what cannot be one.
    #[must_use]
    pub fn of(value: &Value) -> Option<Key> {
        Some(match value {
            Value::Nil => Key::Nil,
            Value::Bool(truth) => Key::Bool(*truth),
            Value::Int(_, n) => Key::Int(*n),
            Value::Uint(_, n) => i64::try_from(*n).map_or(Key::Float(*n as f64), Key::Int),
            Value::Float(n) => Key::Float(*n),
            Value::Str(text) => Key::Str(text.clone()),
            _ => return None,
        })
    }

    /// The key as a value.
    #[must_use]
    pub fn value(&self) -> Value {
        match self {
            Key::Nil => Value::Nil,
            Key::Bool(truth) => Value::Bool(*truth),
            Key::Int(n) => Value::int(*n),
            Key::Float(n) => Value::Float(*n),
            Key::Str(text) => Value::Str(text.clone()),
        }
    }

    /// The key's text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Key::Str(text) = self { Some(text) } else { None }
    }

    fn rank(&self) -> u8 {
        match self {
            Key::Nil => 0,
            Key::Int(_) => 1,
            Key::Float(_) => 2,
            Key::Str(_) => 3,
            Key::Bool(_) => 4,
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Key::Bool(a), Key::Bool(b)) => a.cmp(b),
            (Key::Int(a), Key::Int(b)) => a.cmp(b),
            (Key::Float(a), Key::Float(b)) => a.total_cmp(b),
            (Key::Str(a), Key::Str(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}
