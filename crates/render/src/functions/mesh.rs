//! Functions of the service mesh, and of clusters and partitions that share services.

use super::{
    Function, Pass, open_row, row,
    shapes::{CA_ROOTS, EXPORTS, IMPORTS, LEAF, PARTITIONS, PEERINGS},
    syntax, text_at,
};
use consul::{Query, query::Scope};
use gotemplate::{Type, Value};

pub(super) const TABLE: &[Function] = &[
    row(
        "caRoots",
        &[],
        CA_ROOTS,
        "certificate authorities of the mesh",
        ("{{ range caRoots }}{{ .RootCertPEM }}{{ end }}", ""),
        |pass, _| Ok(pass.list(&Query::CaRoots, CA_ROOTS)),
    ),
    row(
        "caLeaf",
        &[Type::Str],
        LEAF,
        "a service's certificate and key for the mesh",
        (r#"{{ with caLeaf "web" }}{{ .CertPEM }}{{ .PrivateKeyPEM }}{{ end }}"#, ""),
        |pass, arguments| {
            let query = Query::CaLeaf(text_at(arguments, 0).into());
            Ok(pass.ask_for(&query, LEAF).unwrap_or(Value::Nil))
        },
    ),
    open_row(
        "peerings",
        (&[], Type::Str),
        PEERINGS,
        "clusters that this one is peered with",
        ("{{ range peerings }}{{ .Name }} {{ .PeeringState }}{{ end }}", ""),
        |pass, arguments| {
            let scope = syntax::scope("list.peering", text_at(arguments, 0))?;
            Ok(pass.list(&Query::Peerings(scope), PEERINGS))
        },
    ),
    row(
        "partitions",
        &[],
        PARTITIONS,
        "admin partitions (Consul Enterprise)",
        ("{{ range partitions }}{{ .Name }}{{ end }}", ""),
        |pass, _| Ok(pass.list(&Query::Partitions, PARTITIONS)),
    ),
    open_row(
        "exportedServices",
        (&[], Type::Str),
        EXPORTS,
        "services that a partition offers to others",
        (r#"{{ range exportedServices "default" }}{{ .Service }}{{ end }}"#, ""),
        |pass, arguments| partition(pass, arguments, Query::Exported, EXPORTS),
    ),
    row(
        "importedServices",
        &[Type::Str],
        IMPORTS,
        "services that a partition takes from others",
        (r#"{{ range importedServices "default" }}{{ .Service }}{{ end }}"#, ""),
        |pass, arguments| {
            if text_at(arguments, 0).is_empty() {
                return Err("importedServices: partition name is required".into());
            }
            partition(pass, arguments, Query::Imported, IMPORTS)
        },
    ),
];

fn partition(
    pass: &mut Pass,
    arguments: &[Value],
    query: fn(Scope) -> Query,
    kind: Type,
) -> Result<Value, String> {
    let name = text_at(arguments, 0);
    let more = if name.is_empty() { vec![] } else { vec![("partition".to_owned(), name.to_owned())] };
    Ok(pass.list(&query(Scope { dc: None, more }), kind))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{call, pass};
    use super::*;
    use serde_json::json;

    #[test]
    fn an_exported_service_says_where_it_lies() {
        let body = br#"[{"Service":"web","Partition":"billing","Namespace":"eu","Consumers":{"Peers":["b"],"Partitions":[]}}]"#;
        let query = Query::Exported(Scope { dc: None, more: vec![("partition".into(), "billing".into())] });
        let rows = consul::wire::read(&query, body).unwrap();
        let found = call(&mut pass(&[(query, rows)], &[]), "exportedServices", &[json!("billing")]).unwrap();
        assert_eq!((&found[0]["Partition"], &found[0]["Namespace"]), (&json!("billing"), &json!("eu")));
    }
}
