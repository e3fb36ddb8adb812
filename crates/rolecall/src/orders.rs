//! What is asked of programs that run already, by their admin pages: orders, and how they are.

use crate::{
    arguments::{At, Order, Status},
    refuse, status,
};
use config::{Environment, Mistakes, Section};
use daemon::{
    admin::{AskError, Caller},
    clock::unix_millis,
    exit::Exit,
    settings::{AdminFlags, AdminSettings},
};
use register::drain::hook::{self, DrainError};
use std::{
    io::IsTerminal,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::time::sleep;

/// Where deploy/ lets register show its pages.
const REGISTER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9500);
/// And render.
const RENDER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9501);
/// A program that is waited for is not kept from ending for longer than this.
const LIMIT: Duration = Duration::from_secs(1);
/// Between two looks of `--watch`.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// `rolecall register drain` and `undrain`.
pub fn give(order: &Order, env: &Environment) -> Exit {
    let (Order::Drain { at, .. } | Order::Undrain { at }) = order;
    let (address, token_file) = match told(at, env) {
        Ok(admin) => (admin.address.unwrap_or(REGISTER), admin.token_file),
        Err(mistakes) => return refuse(&mistakes),
    };
    let caller = Caller::new(address, token_file.as_deref());
    let order = match order {
        Order::Drain { hand_over, timeout, .. } => Some((*hand_over, *timeout)),
        Order::Undrain { .. } => None,
    };
    daemon::run(LIMIT, async move |mut leaving| {
        let done = async {
            match order {
                Some((hand_over, limit)) => {
                    hook::drain(&caller, hand_over, limit, |line| println!("{line}")).await
                }
                None => hook::undrain(&caller).await,
            }
        };
        tokio::select! {
            done = done => done_with(done, if order.is_some() { "drained" } else { "the drain is taken back" }),
            () = leaving.signaled() => Exit::Failed,
        }
    })
}

fn done_with(done: Result<(), DrainError>, word: &str) -> Exit {
    match done {
        Ok(()) => {
            println!("{word}");
            Exit::Done
        }
        Err(error) => {
            eprintln!("{error}");
            Exit::Failed
        }
    }
}

/// `rolecall status`.
pub fn show(wanted: &Status, env: &Environment) -> Exit {
    let callers: Vec<Caller> = match told(&wanted.at, env) {
        Ok(AdminSettings { address: Some(address), .. }) => vec![Caller::new(address, None)],
        Ok(_) => vec![Caller::new(REGISTER, None), Caller::new(RENDER, None)],
        Err(mistakes) => return refuse(&mistakes),
    };
    let (json, watch) = (wanted.json, wanted.watch);
    daemon::run(LIMIT, async move |mut leaving| {
        let looking = async {
            loop {
                let (pages, troubles) = look(&callers, json).await;
                if watch && std::io::stdout().is_terminal() {
                    // To the top left, and clear.
                    print!("\x1b[H\x1b[2J");
                }
                print!("{}", pages.join("\n"));
                if pages.is_empty() {
                    troubles.iter().for_each(|trouble| eprintln!("{trouble}"));
                }
                if !watch {
                    return if pages.is_empty() { Exit::Failed } else { Exit::Done };
                }
                sleep(LOOK_AGAIN).await;
            }
        };
        tokio::select! {
            exit = looking => exit,
            () = leaving.signaled() => Exit::Done,
        }
    })
}

/// The pages of those that answer, and why others do not.
async fn look(callers: &[Caller], json: bool) -> (Vec<String>, Vec<AskError>) {
    let (mut pages, mut troubles) = (vec![], vec![]);
    for caller in callers {
        match caller.get("/status").await {
            Ok(page) if json => pages.push(page),
            Ok(page) => {
                let shown = serde_json::from_str(&page).unwrap_or_default();
                pages.push(status::page(&shown, &caller.address().to_string(), unix_millis()));
            }
            Err(trouble) => troubles.push(trouble),
        }
    }
    (pages, troubles)
}

/// Where the pages are, by flag, environment and the program's own configuration; of that, only this much is read.
fn told(at: &At, env: &Environment) -> Result<AdminSettings, Mistakes> {
    let mut mistakes = Mistakes::default();
    let mut top = match at.config.as_slice() {
        [] => Section::empty("config"),
        paths => config::read(paths, &["service", "template"], &mut mistakes),
    };
    let flags = AdminFlags { address: at.admin_addr.clone(), ..AdminFlags::default() };
    let admin = AdminSettings::read(&mut top, env, &flags, &mut mistakes);
    mistakes.into_result(admin)
}
