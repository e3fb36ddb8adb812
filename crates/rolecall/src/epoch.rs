//! `rolecall epoch`: shows what is remembered of former masters, and lets an operator begin anew.

use crate::{
    arguments::{Epoch, EpochOrder},
    refuse,
};
use config::Environment;
use daemon::exit::Exit;

/// The file tells whose memory it is: that of `render` lies beside each rendered file.
pub fn epoch(order: &Epoch, env: &Environment) -> Exit {
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
