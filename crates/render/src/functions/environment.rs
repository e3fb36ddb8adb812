//! Functions of rolecall's own environment, which was read once at the start. Consul's token is not in it.

use super::{Pass, text};
use serde_json::Value;

pub(super) fn env(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    Ok(pass.env.get(text(arguments, 0)?).cloned().unwrap_or_default().into())
}

pub(super) fn env_or_default(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let default = text(arguments, 1)?;
    Ok(pass.env.get(text(arguments, 0)?).cloned().unwrap_or_else(|| default.into()).into())
}

pub(super) fn must_env(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let name = text(arguments, 0)?;
    match pass.env.get(name).filter(|value| !value.is_empty()) {
        Some(value) => Ok(value.clone().into()),
        None => Err(format!("the environment variable {name} is required and is not set, or empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{call, pass};
    use serde_json::json;

    #[test]
    fn set_empty_and_unset_differ() {
        let env = &[("SET", "x"), ("EMPTY", "")];
        for (function, arguments, value) in [
            ("env", vec![json!("SET")], Ok(json!("x"))),
            ("env", vec![json!("UNSET")], Ok(json!(""))),
            ("envOrDefault", vec![json!("EMPTY"), json!("d")], Ok(json!(""))),
            ("envOrDefault", vec![json!("UNSET"), json!("d")], Ok(json!("d"))),
            ("mustEnv", vec![json!("SET")], Ok(json!("x"))),
        ] {
            assert_eq!(call(&mut pass(&[], env), function, &arguments), value, "{function} {arguments:?}");
        }
        let error = call(&mut pass(&[], env), "mustEnv", &[json!("EMPTY")]).unwrap_err();
        assert!(error.contains("EMPTY"), "{error}");
    }
}
