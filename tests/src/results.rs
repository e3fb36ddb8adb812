//! Results as data, in a file.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{Outcome, Trouble};

/// Writes the value, if a file is named. Readers see the old file or the new one, never a half.
pub fn write_json(file: Option<&Path>, value: &Value) -> Outcome {
    let Some(file) = file else { return Ok(()) };
    let text = format!("{value:#}\n");
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let staged = fs::write(&beside, text).and_then(|()| fs::rename(&beside, file));
    staged.map_err(|e| Trouble::from(e).during(format!("writing {}", file.display())))
}
