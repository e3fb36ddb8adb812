//! `probe "static"`: the role stands in the configuration.

use super::{Look, Probe, ProbeError, said::Said};

/// Says the same at each look.
#[derive(Debug)]
pub struct FixedProbe(pub Said);

impl Probe for FixedProbe {
    async fn look(&mut self) -> Result<Look, ProbeError> {
        Ok(self.0.clone().into())
    }

    async fn disturbed(&mut self) {
        std::future::pending().await
    }
}
