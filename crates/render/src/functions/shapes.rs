//! The types that consul-template's functions return, and how an answer becomes values of them.

use gotemplate::{
    Field, Shape, Type, Value,
    types::{INT, LIST, STRING_MAP, STRINGS, UINT64},
};
use serde_json::Value as Json;
use std::sync::Arc;

const fn field(name: &'static str, kind: Type) -> Field {
    Field { name, kind, hidden: false }
}

/// A field that consul-template does not have: templates can read it, and it is not printed.
const fn more(name: &'static str, kind: Type) -> Field {
    Field { name, kind, hidden: true }
}

const TEXT: Type = Type::Str;
/// `dependency.ServiceTags`
pub(super) const TAGS: Type = Type::Named("dependency.ServiceTags", &STRINGS);

static ADDRESS: Shape =
    Shape { name: "api.ServiceAddress", fields: &[field("Address", TEXT), field("Port", INT)] };
static WEIGHTS: Shape =
    Shape { name: "api.AgentWeights", fields: &[field("Passing", INT), field("Warning", INT)] };

static CHECK: Shape = Shape {
    name: "api.HealthCheck",
    fields: &[
        field("Node", TEXT),
        field("CheckID", TEXT),
        field("Name", TEXT),
        field("Status", TEXT),
        field("Notes", TEXT),
        field("Output", TEXT),
        field("ServiceID", TEXT),
        field("ServiceName", TEXT),
        field("ServiceTags", STRINGS),
        field("Type", TEXT),
        field("Namespace", TEXT),
        field("Partition", TEXT),
        field("CreateIndex", UINT64),
        field("ModifyIndex", UINT64),
    ],
};

static SERVICE: Shape = Shape {
    name: "dependency.HealthService",
    fields: &[
        field("Node", TEXT),
        field("NodeID", TEXT),
        field("NodeAddress", TEXT),
        field("NodeTaggedAddresses", STRING_MAP),
        field("NodeMeta", STRING_MAP),
        field("ServiceMeta", STRING_MAP),
        field("Address", TEXT),
        field("ServiceTaggedAddresses", Type::Map(&Type::Str, &Type::Struct(&ADDRESS))),
        field("ID", TEXT),
        field("Name", TEXT),
        field("Tags", TAGS),
        field("Checks", CHECKS),
        field("Status", TEXT),
        field("Port", INT),
        field("Weights", Type::Struct(&WEIGHTS)),
        more("Datacenter", TEXT),
        more("ModifyIndex", UINT64),
    ],
};

static SNIPPET: Shape =
    Shape { name: "dependency.CatalogSnippet", fields: &[field("Name", TEXT), field("Tags", TAGS)] };

static NODE: Shape = Shape {
    name: "dependency.Node",
    fields: &[
        field("ID", TEXT),
        field("Node", TEXT),
        field("Address", TEXT),
        field("Datacenter", TEXT),
        field("TaggedAddresses", STRING_MAP),
        field("Meta", STRING_MAP),
    ],
};

static NODE_SERVICE: Shape = Shape {
    name: "dependency.CatalogNodeService",
    fields: &[
        field("ID", TEXT),
        field("Service", TEXT),
        field("Tags", TAGS),
        field("Meta", STRING_MAP),
        field("Port", INT),
        field("Address", TEXT),
        field("EnableTagOverride", Type::Bool),
    ],
};

static CATALOG_NODE: Shape = Shape {
    name: "dependency.CatalogNode",
    fields: &[field("Node", Type::Ptr(&NODE)), field("Services", Type::Slice(&Type::Ptr(&NODE_SERVICE)))],
};

static PAIR: Shape = Shape {
    name: "dependency.KeyPair",
    fields: &[
        field("Path", TEXT),
        field("Key", TEXT),
        field("Value", TEXT),
        field("CreateIndex", UINT64),
        field("ModifyIndex", UINT64),
        field("LockIndex", UINT64),
        field("Flags", UINT64),
        field("Session", TEXT),
    ],
};

static CA_ROOT: Shape = Shape {
    name: "api.CARoot",
    fields: &[
        field("ID", TEXT),
        field("Name", TEXT),
        field("RootCertPEM", TEXT),
        field("Active", Type::Bool),
        field("NotBefore", TEXT),
        field("NotAfter", TEXT),
        field("CreateIndex", UINT64),
        field("ModifyIndex", UINT64),
    ],
};

static CA_LEAF: Shape = Shape {
    name: "api.LeafCert",
    fields: &[
        field("SerialNumber", TEXT),
        field("CertPEM", TEXT),
        field("PrivateKeyPEM", TEXT),
        field("Service", TEXT),
        field("ServiceURI", TEXT),
        field("ValidAfter", TEXT),
        field("ValidBefore", TEXT),
        field("CreateIndex", UINT64),
        field("ModifyIndex", UINT64),
    ],
};

static STREAM: Shape = Shape {
    name: "dependency.PeeringStreamStatus",
    fields: &[
        field("ImportedServices", STRINGS),
        field("ExportedServices", STRINGS),
        field("LastHeartbeat", TEXT),
        field("LastReceive", TEXT),
        field("LastSend", TEXT),
    ],
};

static REMOTE: Shape = Shape {
    name: "dependency.PeeringRemoteInfo",
    fields: &[field("Partition", TEXT), field("Datacenter", TEXT)],
};

static PEERING: Shape = Shape {
    name: "dependency.Peering",
    fields: &[
        field("ID", TEXT),
        field("Name", TEXT),
        field("Partition", TEXT),
        field("Meta", STRING_MAP),
        field("PeeringState", TEXT),
        field("PeerID", TEXT),
        field("PeerServerName", TEXT),
        field("PeerServerAddresses", STRINGS),
        field("StreamStatus", Type::Struct(&STREAM)),
        field("Remote", Type::Struct(&REMOTE)),
    ],
};

static PARTITION: Shape =
    Shape { name: "dependency.Partition", fields: &[field("Name", TEXT), field("Description", TEXT)] };

static CONSUMERS: Shape = Shape {
    name: "dependency.ResolvedConsumers",
    fields: &[field("Peers", STRINGS), field("Partitions", STRINGS)],
};

static EXPORTED: Shape = Shape {
    name: "dependency.ExportedService",
    fields: &[
        field("Service", TEXT),
        field("Partition", TEXT),
        field("Namespace", TEXT),
        field("Consumers", Type::Struct(&CONSUMERS)),
    ],
};

static IMPORTED: Shape = Shape {
    name: "dependency.ImportedService",
    fields: &[field("Service", TEXT), field("Namespace", TEXT), field("SourcePartition", TEXT)],
};

/// `[]*dependency.HealthService`
pub(super) const SERVICES: Type = Type::Slice(&Type::Ptr(&SERVICE));
/// `api.HealthChecks`
pub(super) const CHECKS: Type = Type::Named("api.HealthChecks", &Type::Slice(&Type::Ptr(&CHECK)));
/// One instance.
pub(super) const ONE_SERVICE: Type = Type::Ptr(&SERVICE);
/// `[]*dependency.CatalogSnippet`
pub(super) const SNIPPETS: Type = Type::Slice(&Type::Ptr(&SNIPPET));
/// `[]*dependency.Node`
pub(super) const NODES: Type = Type::Slice(&Type::Ptr(&NODE));
/// `*dependency.CatalogNode`
pub(super) const ONE_NODE: Type = Type::Ptr(&CATALOG_NODE);
/// `[]*dependency.KeyPair`
pub(super) const PAIRS: Type = Type::Slice(&Type::Ptr(&PAIR));
/// One pair.
pub(super) const ONE_PAIR: Type = Type::Ptr(&PAIR);
/// `[]*api.CARoot`
pub(super) const CA_ROOTS: Type = Type::Slice(&Type::Ptr(&CA_ROOT));
/// `*api.LeafCert`
pub(super) const LEAF: Type = Type::Ptr(&CA_LEAF);
/// `[]*dependency.Peering`
pub(super) const PEERINGS: Type = Type::Slice(&Type::Ptr(&PEERING));
/// `[]*dependency.Partition`
pub(super) const PARTITIONS: Type = Type::Slice(&Type::Ptr(&PARTITION));
/// `[]dependency.ExportedService`
pub(super) const EXPORTS: Type = Type::Slice(&Type::Struct(&EXPORTED));
/// `[]dependency.ImportedService`
pub(super) const IMPORTS: Type = Type::Slice(&Type::Struct(&IMPORTED));

/// Consul's name for a field that consul-template calls otherwise.
fn wire_name(shape: &Shape, name: &'static str) -> &'static str {
    match (shape.name, name) {
        ("api.CARoot", "RootCertPEM") => "RootCert",
        ("dependency.Peering", "PeeringState") => "State",
        _ => name,
    }
}

/// JSON as a value of a type; what is missing becomes the type's empty value.
#[must_use]
pub(super) fn typed(json: &Json, kind: Type) -> Value {
    match (kind.under(), json) {
        (Type::Str, Json::String(text)) => Value::text(text.as_str()),
        (Type::Bool, Json::Bool(truth)) => Value::Bool(*truth),
        (Type::Int(kind), Json::Number(n)) => Value::Int(kind, n.as_i64().unwrap_or_default()),
        (Type::Uint(kind), Json::Number(n)) => Value::Uint(kind, n.as_u64().unwrap_or_default()),
        (Type::Slice(item), Json::Array(items)) => {
            Value::slice(kind, items.iter().map(|json| typed(json, *item)).collect())
        }
        (Type::Map(_, item), Json::Object(entries)) => {
            let entries = entries
                .iter()
                .map(|(key, json)| (gotemplate::Key::Str(Arc::from(key.as_str())), typed(json, *item)));
            Value::map(kind, entries.collect())
        }
        (Type::Struct(shape) | Type::Ptr(shape), Json::Object(entries)) => {
            let none = Json::Null;
            let value =
                |field: &Field| typed(entries.get(wire_name(shape, field.name)).unwrap_or(&none), field.kind);
            let pointer = matches!(kind.under(), Type::Ptr(_));
            Value::record(shape, pointer, shape.fields.iter().map(value).collect())
        }
        (Type::Any, json) => any(json),
        _ => kind.zero(),
    }
}

/// JSON as Go reads it into nothing in particular: every number is a float.
#[must_use]
pub(super) fn any(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(n) => Value::Float(n.as_f64().unwrap_or_default()),
        Json::String(text) => Value::text(text.as_str()),
        Json::Array(items) => Value::slice(LIST, items.iter().map(any).collect()),
        Json::Object(entries) => Value::dict(entries.iter().map(|(key, json)| (key.as_str(), any(json)))),
    }
}
