//! Progress: a line when something happens, with the time since the start.

use std::io::{self, Write};

use tokio::time::Instant;

/// Prints lines with the time since it was made.
#[derive(Debug)]
pub struct Say {
    start: Instant,
}

impl Say {
    /// Time starts now.
    #[expect(clippy::new_without_default, reason = "it reads the clock")]
    pub fn new() -> Say {
        Say { start: Instant::now() }
    }

    /// One thing that happened.
    pub fn line(&self, text: &str) {
        plain(&format!("{:7.3} s  {text}", self.start.elapsed().as_secs_f64()));
    }
}

/// A line without time. A reader who went away (`| head`) does not stop the program.
pub fn plain(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}
