//! The part of one who follows: it reads what the leader tells.

use super::{
    Group, Place, aside,
    document::{Answers, Content, Pointer, Refused, unpack},
    path,
};
use crate::ClientError;
use base64::prelude::{BASE64_STANDARD, Engine};
use reqwest::Method;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;

impl<T: Fn(Place) + Send + Sync> Group<T> {
    /// Takes in what the leader tells; false when that could not be read just now.
    pub(super) async fn follow(&mut self, text: &str) -> bool {
        let heard = Instant::now();
        match self.read(text).await {
            Ok(Ok(answers)) => {
                self.well("follows", "another asks Consul for it");
                (self.tell)(Place::Follows(answers, heard));
                true
            }
            Ok(Err(refused)) => {
                self.alone(format!("the document in {} is refused: {refused}", self.key()));
                // Another document has another pointer.
                true
            }
            Err(error) => {
                self.warn(&error.to_string());
                false
            }
        }
    }

    async fn read(&mut self, text: &str) -> Result<Result<Arc<Answers>, Refused>, ClientError> {
        let content = match Pointer::read(text) {
            Ok(Pointer { content: Some(content), .. }) => content,
            Ok(Pointer { content: None, .. }) => return Ok(Ok(Arc::default())),
            Err(refused) => return Ok(Err(refused)),
        };
        if let Some((_, answers)) = self.read.as_ref().filter(|(read, _)| *read == content) {
            return Ok(Ok(Arc::clone(answers)));
        }
        let parts = self.parts(&content).await?;
        let named = content.clone();
        let answers = match aside(move || unpack(&named, &parts)).await {
            Ok(answers) => Arc::new(answers),
            Err(refused) => return Ok(Err(refused)),
        };
        self.read = Some((content, Arc::clone(&answers)));
        Ok(Ok(answers))
    }

    async fn parts(&self, content: &Content) -> Result<Vec<Vec<u8>>, ClientError> {
        let folder = format!("{}/{}/", self.folder, content.sha256);
        let rows = match self.client.call(Method::GET, &path(&folder), &[("recurse", "")], None).await {
            Err(ClientError::Refused { status: 404, .. }) => Value::Null,
            other => other?,
        };
        let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
        let bytes = |row: &Value| BASE64_STANDARD.decode(row["Value"].as_str().unwrap_or_default()).ok();
        Ok(rows.iter().filter_map(bytes).collect())
    }
}
