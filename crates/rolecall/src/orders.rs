//! Orders to a program that runs already, by its admin pages.

use crate::{
    arguments::{At, Order},
    refuse,
};
use config::{Environment, Mistakes, Section};
use daemon::{
    admin::Caller,
    exit::Exit,
    settings::{AdminFlags, AdminSettings},
};
use register::drain::hook::{self, DrainError};
use std::{net::SocketAddr, time::Duration};

/// Where deploy/ lets register show its pages.
const REGISTER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9500);
/// A program that is waited for is not kept from ending for longer than this.
const LIMIT: Duration = Duration::from_secs(1);

/// `rolecall register drain` and `undrain`.
pub fn give(order: &Order, env: &Environment) -> Exit {
    let (Order::Drain { at, .. } | Order::Undrain { at }) = order;
    let caller = match caller(at, env) {
        Ok(caller) => caller,
        Err(mistakes) => return refuse(&mistakes),
    };
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
            done = done => told(done, if order.is_some() { "drained" } else { "the drain is taken back" }),
            () = leaving.signaled() => Exit::Failed,
        }
    })
}

fn told(done: Result<(), DrainError>, word: &str) -> Exit {
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

/// Whom to ask, by flag, environment and the program's own configuration; of that, only this much is looked at.
fn caller(at: &At, env: &Environment) -> Result<Caller, Mistakes> {
    let mut mistakes = Mistakes::default();
    let mut top = match at.config.as_slice() {
        [] => Section::empty("config"),
        paths => config::read(paths, &["service", "template"], &mut mistakes),
    };
    let flags = AdminFlags { address: at.admin_addr.clone(), ..AdminFlags::default() };
    let admin = AdminSettings::read(&mut top, env, &flags, &mut mistakes);
    let caller = Caller::new(admin.address.unwrap_or(REGISTER), admin.token_file.as_deref());
    mistakes.into_result(caller)
}
