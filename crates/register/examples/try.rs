//! temporary
fn main() -> std::process::ExitCode {
    let paths: Vec<std::path::PathBuf> = std::env::args().skip(1).map(Into::into).collect();
    let env = std::env::vars().collect();
    match register::RegisterConfig::load(&paths, &env, &register::RegisterFlags::default()) {
        Err(m) => {
            eprintln!("{m}");
            daemon::exit::Exit::Usage.into()
        }
        Ok(c) => {
            daemon::telemetry::init(c.admin.level, c.admin.json);
            eprintln!("{}", c.print());
            daemon::run(register::leave_limit(&c), move |l| register::run(c, l)).into()
        }
    }
}
