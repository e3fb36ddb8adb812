//! A real browser without a screen: Chromium, told what to do by its own protocol (DevTools) over a pair of named pipes.

use std::{fs, path::Path, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::unix::pipe::{OpenOptions, Receiver, Sender},
    time::timeout,
};

use crate::{Outcome, PATIENCE, Part, Recipe, Trouble, found, until, when};

/// One page in a browser of its own.
#[derive(Debug)]
pub struct Browser {
    /// The process.
    pub part: Part,
    orders: Sender,
    answers: BufReader<Receiver>,
    asked: u64,
    session: Option<String>,
    complaints: Vec<String>,
    _directory: TempDir,
}

/// What the page is looked at with.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    /// In CSS pixels; a phone has 375.
    pub width: u32,
    /// Whether the reader likes it dark.
    pub dark: bool,
    /// Whether scripts of the page run.
    pub scripts: bool,
}

impl Screen {
    /// A window on a desk.
    pub const DESK: Screen = Screen { width: 1280, dark: false, scripts: true };
    /// A phone held upright.
    pub const PHONE: Screen = Screen { width: 375, dark: false, scripts: true };
}

/// How long an order may take: the first one waits until some hundred megabytes are read from a slow disk.
const ORDER: Duration = Duration::from_secs(90);

/// It talks to nobody but the page's server.
const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--remote-debugging-pipe",
];

impl Browser {
    /// Opens a page, and waits until it is loaded.
    pub async fn open(url: &str, screen: Screen) -> Outcome<Browser> {
        let directory = tempfile::Builder::new().prefix("rolecall-browser-").tempdir()?;
        let home = directory.path();
        let [orders, answers] = ["orders", "answers"].map(|name| home.join(name));
        for pipe in [&orders, &answers] {
            let made = std::process::Command::new("mkfifo").arg(pipe).status()?;
            when(made.success(), || format!("mkfifo {}: {made}", pipe.display()))?;
        }
        // The protocol's ends are the file descriptors 3 and 4. When ours are closed, the browser ends by itself.
        let mut arguments = vec!["-c".to_owned(), "exec \"$@\" 3<orders 4>answers".into(), "sh".into()];
        arguments.push(found("chromium".as_ref())?.display().to_string());
        arguments.extend(FLAGS.map(str::to_owned));
        arguments.push(format!("--user-data-dir={}", home.join("profile").display()));
        let mut recipe = Recipe::new("chromium", "sh", home, arguments);
        recipe.environment = vec![("HOME".into(), home.display().to_string())];
        let part = recipe.start()?;
        let mut both = OpenOptions::new();
        both.read_write(true);
        let mut browser = Browser {
            part,
            orders: both.open_sender(orders)?,
            answers: BufReader::new(both.open_receiver(answers)?),
            asked: 0,
            session: None,
            complaints: vec![],
            _directory: directory,
        };
        let opened = browser.begin(url, screen).await;
        browser.part.explain(opened)?;
        Ok(browser)
    }

    async fn begin(&mut self, url: &str, screen: Screen) -> Outcome {
        let target = self.order("Target.createTarget", json!({"url": "about:blank"})).await?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.order("Target.attachToTarget", attach).await?;
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        self.order("Log.enable", json!({})).await?;
        self.order("Runtime.enable", json!({})).await?;
        self.order("Emulation.setScriptExecutionDisabled", json!({"value": !screen.scripts})).await?;
        self.look_with(screen).await?;
        self.order("Page.navigate", json!({"url": url})).await?;
        self.shows("the page", "location.href !== 'about:blank' && document.readyState === 'complete'").await
    }

    /// Changes the screen; whether scripts run is decided when a page is opened.
    pub async fn look_with(&mut self, screen: Screen) -> Outcome {
        let phone = screen.width < 600;
        let size = json!({"width": screen.width, "height": 800, "deviceScaleFactor": 1, "mobile": phone});
        self.order("Emulation.setDeviceMetricsOverride", size).await?;
        let scheme = if screen.dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.order("Emulation.setEmulatedMedia", media).await.map(drop)
    }

    /// The value of a JavaScript expression in the page.
    pub async fn tells(&mut self, expression: &str) -> Outcome<Value> {
        let said =
            self.order("Runtime.evaluate", json!({"expression": expression, "returnByValue": true})).await?;
        match said.get("exceptionDetails") {
            Some(wrong) => Err(Trouble::new(format!("{expression}: {wrong}"))),
            None => Ok(said["result"]["value"].clone()),
        }
    }

    /// Waits until a JavaScript expression is true. A failure shows what stands on the page.
    pub async fn shows(&mut self, what: &str, expression: &str) -> Outcome {
        until(format!("the browser to show {what}"), PATIENCE, async || {
            if self.tells(expression).await? == true {
                return Ok(());
            }
            let text = self.tells("document.body?.innerText").await?;
            Err(Trouble::new(text.as_str().unwrap_or("an empty page")))
        })
        .await
    }

    /// What the browser complained of: errors of scripts, and what the page's policy forbids.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// Leaves a picture of the whole page.
    pub async fn picture(&mut self, file: &Path) -> Outcome {
        let how = json!({"captureBeyondViewport": true});
        let taken = self.order("Page.captureScreenshot", how).await?;
        let data = BASE64_STANDARD.decode(taken["data"].as_str().unwrap_or_default());
        fs::write(file, data.map_err(|e| Trouble::new(format!("a picture that is none: {e}")))?)?;
        Ok(())
    }

    /// Gives an order and returns its result; what the browser tells in between is looked through for complaints.
    async fn order(&mut self, method: &str, parameters: Value) -> Outcome<Value> {
        self.asked += 1;
        let mut order = json!({"id": self.asked, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            order["sessionId"] = session.as_str().into();
        }
        let mut bytes = order.to_string().into_bytes();
        bytes.push(0);
        let answered = timeout(ORDER, async {
            self.orders.write_all(&bytes).await?;
            loop {
                let said = self.hear().await?;
                if said["id"] == self.asked {
                    return Ok(said);
                }
                self.note(&said);
            }
        });
        let said: Outcome<Value> =
            answered.await.map_err(|_| Trouble::new(format!("no answer to {method} in {ORDER:?}")))?;
        let said = said?;
        match said.get("error") {
            Some(error) => Err(Trouble::new(format!("{method}: {error}"))),
            None => Ok(said["result"].clone()),
        }
    }

    async fn hear(&mut self) -> Outcome<Value> {
        let mut bytes = vec![];
        self.answers.read_until(0, &mut bytes).await?;
        bytes.pop();
        Ok(serde_json::from_slice(&bytes)?)
    }

    fn note(&mut self, said: &Value) {
        let parameters = &said["params"];
        match said["method"].as_str() {
            Some("Log.entryAdded") if parameters["entry"]["level"] == "error" => {
                self.complaints.push(parameters["entry"].to_string());
            }
            Some("Runtime.exceptionThrown") => self.complaints.push(parameters.to_string()),
            _ => {}
        }
    }
}
