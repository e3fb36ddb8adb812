//! `rolecall doctor`: what is missing, a line each, before anything is started.

use crate::{For, arguments::Doctor, program, refuse};
use config::{Environment, Finding, Health, Mistakes};
use daemon::exit::Exit;
use register::{RegisterConfig, RegisterFlags};
use serde_json::json;
use std::time::Duration;

/// Every step has its own limit; this one is for somebody who waits at a terminal.
const LIMIT: Duration = Duration::from_secs(60);

pub fn doctor(order: &Doctor, env: Environment) -> Exit {
    let json = order.json;
    match prepare(order, env) {
        Ok(Patient::Register(config)) => {
            daemon::run(LIMIT, move |_| async move { tell(&register::doctor::examine(&config).await, json) })
        }
        Ok(Patient::Render(loaded)) => {
            daemon::run(LIMIT, move |_| async move { tell(&render::doctor::examine(&loaded).await, json) })
        }
        Err(mistakes) => refuse(&mistakes),
    }
}

enum Patient {
    Register(Box<RegisterConfig>),
    Render(Box<render::Loaded>),
}

fn prepare(order: &Doctor, env: Environment) -> Result<Patient, Mistakes> {
    let paths = &order.config;
    Ok(match program(paths)? {
        For::Register => {
            let flags = RegisterFlags { consul: order.consul(), ..RegisterFlags::default() };
            Patient::Register(Box::new(RegisterConfig::load(paths, &env, &flags)?))
        }
        For::Render => {
            let flags = render::Flags { consul: order.consul(), ..render::Flags::default() };
            Patient::Render(Box::new(render::load(paths, env, &flags)?))
        }
    })
}

fn tell(findings: &[Finding], json: bool) -> Exit {
    if json {
        let all = findings
            .iter()
            .map(|found| json!({"health": found.health.word(), "what": found.what, "told": found.told}));
        println!("{:#}", all.collect::<serde_json::Value>());
    } else {
        findings.iter().for_each(|found| println!("{found}"));
    }
    let worst = findings.iter().map(|found| found.health).max();
    if worst == Some(Health::Failed) { Exit::Failed } else { Exit::Done }
}
