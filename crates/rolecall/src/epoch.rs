//! `rolecall epoch`: shows what is remembered of former masters, and lets an operator begin anew.

use crate::{
    For,
    arguments::{Epoch, EpochOrder},
    program, refuse,
};
use config::Environment;
use daemon::exit::Exit;
use register::{RegisterConfig, RegisterFlags, pointer};
use std::time::Duration;

/// Each question to Consul has a limit of its own; this one is for somebody who waits at a terminal.
const LIMIT: Duration = Duration::from_secs(60);

/// The file tells whose memory it is: that of `render` lies beside each rendered file, that of `register` in Consul.
pub fn epoch(order: &Epoch, env: &Environment) -> Exit {
    match program(&order.config) {
        Ok(For::Register) => of_register(order, env),
        Ok(For::Render) => of_render(order, env),
        Err(mistakes) => refuse(&mistakes),
    }
}

fn of_register(order: &Epoch, env: &Environment) -> Exit {
    let config = match RegisterConfig::load(&order.config, env, &RegisterFlags::default()) {
        Ok(config) => config,
        Err(mistakes) => return refuse(&mistakes),
    };
    let (service, reset) = (order.service.clone(), order.order == EpochOrder::Reset);
    daemon::run(LIMIT, async move |_| {
        match pointer::order::obey(&config, service.as_deref(), reset, |text| println!("{text}")).await {
            Ok(()) => Exit::Done,
            Err(error) => {
                eprintln!("{error}");
                Exit::Failed
            }
        }
    })
}

fn of_render(order: &Epoch, env: &Environment) -> Exit {
    let loaded = match render::load(&order.config, env.clone(), &render::Flags::default()) {
        Ok(loaded) => loaded,
        Err(mistakes) => return refuse(&mistakes),
    };
    let done = loaded.config.templates.iter().map(|template| forget(template, order));
    if done.collect::<Vec<_>>().into_iter().all(|done| done) { Exit::Done } else { Exit::Failed }
}

/// Prints what one template follows, and forgets it on a reset.
fn forget(template: &render::config::TemplateConfig, order: &Epoch) -> bool {
    let ledger = render::ledger::Ledger::of(template.destination.path());
    let concerns = |name: &str| {
        let service = name.split('@').next();
        order.service.as_deref().is_none_or(|asked| Some(asked) == service || asked == name)
    };
    let mut followed = match ledger.read() {
        Ok(followed) => followed,
        Err(why) => {
            eprintln!("{why}");
            return false;
        }
    };
    let file = ledger.path().display();
    let names: Vec<String> = followed.keys().filter(|name| concerns(name)).cloned().collect();
    for name in &names {
        println!("{file}: {name}: a master in epoch {} was followed", followed[name]);
    }
    if names.is_empty() {
        println!("{file}: no epoch of a master is remembered");
    }
    if order.order == EpochOrder::Show || names.is_empty() {
        return true;
    }
    followed.retain(|name, _| !concerns(name));
    match ledger.write(&followed, false) {
        Ok(()) => {
            println!("{file}: forgotten; the next master is followed in whatever epoch");
            true
        }
        Err(why) => {
            eprintln!("{why}");
            false
        }
    }
}
