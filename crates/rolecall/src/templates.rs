//! Tools for those who write templates: what functions there are, and whether templates still give what they must.

use daemon::exit::Exit;
use render::rehearsal;
use std::path::PathBuf;

/// `rolecall render functions`.
pub fn functions(name: Option<&str>) -> Exit {
    match render::functions::reference(name) {
        Some(text) => {
            print!("{text}");
            Exit::Done
        }
        None => {
            eprintln!("there is no function of that name; `rolecall render functions` lists all");
            Exit::Usage
        }
    }
}

/// `rolecall render test`.
pub fn test(paths: &[PathBuf], write: bool) -> Exit {
    match rehearsal::test(paths, write, &mut |line| println!("{line}")) {
        Ok(tally) => {
            println!("{} passed, {} failed, {} left out", tally.passed, tally.failed, tally.left_out);
            if tally.failed == 0 { Exit::Done } else { Exit::Failed }
        }
        Err(why) => {
            eprintln!("{why}");
            Exit::Usage
        }
    }
}
