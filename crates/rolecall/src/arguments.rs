//! What the command line may say.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use render::config::flags::{FLAGS, Flag, Takes};
use std::{ffi::OsString, path::PathBuf, time::Duration};

/// Keeps roles of stateful servers in Consul, and HAProxy true to them.
#[derive(Debug, Parser)]
#[command(name = "rolecall", version, propagate_version = true, arg_required_else_help = true)]
pub struct Arguments {
    /// Which program to run.
    #[command(subcommand)]
    pub program: Program,
}

/// The programs.
#[derive(Debug, Subcommand)]
pub enum Program {
    /// Runs beside a server: keeps its address and role in Consul
    Register(Register),
    /// Runs beside HAProxy: renders its configuration from Consul and makes it use it
    Render(Render),
    /// Switches the master by plan, without losing an acknowledged write
    Failover(Failover),
    /// Tries what register or render will need, and tells what is missing; changes nothing
    Doctor(Doctor),
    /// Shows how the programs on this machine are: what they believe, and why
    Status(Status),
    /// Shows which epochs of masters are remembered, or begins anew after Sentinels lost their memory
    Epoch(Epoch),
    /// Checks configuration files (and the templates they name) and does nothing else
    Check {
        /// Configuration file or folder (HCL or JSON); may be repeated
        #[arg(short, long, value_name = "PATH", required = true)]
        config: Vec<PathBuf>,
    },
}

/// What `epoch` takes.
#[derive(Args, Debug)]
pub struct Epoch {
    /// What to do
    #[arg(value_enum)]
    pub order: EpochOrder,
    /// Configuration file or folder of the program whose memory it is; may be repeated
    #[arg(short, long, value_name = "PATH", required = true)]
    pub config: Vec<PathBuf>,
    /// Only of this service
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
}

/// What to do about remembered epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EpochOrder {
    /// Print them
    Show,
    /// Print them, and begin anew
    Reset,
}

/// What both programs take. Of a flag that is given twice, the last counts.
#[derive(Args, Debug)]
pub struct Common {
    /// Configuration file or folder (HCL or JSON); may be repeated, later ones go before earlier ones
    #[arg(short, long, value_name = "PATH")]
    pub config: Vec<PathBuf>,
    /// Address of the Consul agent
    #[arg(long, value_name = "HOST:PORT", overrides_with = "consul_addr")]
    pub consul_addr: Option<String>,
    /// File that holds Consul's ACL token
    #[arg(long, value_name = "PATH", overrides_with = "consul_token_file")]
    pub consul_token_file: Option<PathBuf>,
    /// Address of the admin pages: /healthz /readyz /metrics /status
    #[arg(long, value_name = "IP:PORT", overrides_with = "admin_addr")]
    pub admin_addr: Option<String>,
    /// Least important events to log: trace, debug, info, warn or error
    #[arg(long, value_name = "LEVEL", overrides_with = "log_level")]
    pub log_level: Option<String>,
    /// Log as text or json
    #[arg(long, value_name = "FORMAT", overrides_with = "log_format")]
    pub log_format: Option<String>,
    /// Print the effective configuration without secrets, and end
    #[arg(long)]
    pub print_config: bool,
}

/// What `register` takes.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Register {
    /// What both programs take.
    #[command(flatten)]
    pub common: Common,
    /// An order to a register that runs already.
    #[command(subcommand)]
    pub order: Option<Order>,
}

/// Orders to a register that runs on this machine.
#[derive(Debug, Subcommand)]
pub enum Order {
    /// Takes its services out of service and waits until Consul shows it; they stay out until it is restarted. For preStop hooks
    Drain {
        /// Who runs.
        #[command(flatten)]
        at: At,
        /// Hand over the role first where the instance is master; if that is refused, all stays as it is
        #[arg(long)]
        hand_over: bool,
        /// How long the hand-over may take
        #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = config::parse_duration)]
        timeout: Duration,
    },
    /// Takes a drain back
    Undrain {
        /// Who runs.
        #[command(flatten)]
        at: At,
    },
}

/// Where a program that runs shows its admin pages.
#[derive(Args, Debug)]
pub struct At {
    /// The configuration that it runs with: its admin { address  token_file } are taken from there
    #[arg(short, long, value_name = "PATH")]
    pub config: Vec<PathBuf>,
    /// Address of its admin pages [default: that of the configuration, else of $ROLECALL_ADMIN_ADDRESS, else 127.0.0.1:9500, for status also 9501]
    #[arg(long, value_name = "IP:PORT")]
    pub admin_addr: Option<String>,
}

/// What `status` takes.
#[derive(Args, Debug)]
pub struct Status {
    /// Who runs.
    #[command(flatten)]
    pub at: At,
    /// Print the status pages as they are, as JSON
    #[arg(long)]
    pub json: bool,
    /// Look again every second
    #[arg(long)]
    pub watch: bool,
}

/// What `failover` takes besides.
#[derive(Args, Debug)]
pub struct Failover {
    /// What both programs take.
    #[command(flatten)]
    pub common: Common,
    /// Name or id of the service, where the configuration has several
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// How long writes may be paused before it is given up
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = config::parse_duration)]
    pub timeout: Duration,
}

/// What `doctor` takes.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Configuration file or folder (HCL or JSON); may be repeated
    #[arg(short, long, value_name = "PATH", required = true)]
    pub config: Vec<PathBuf>,
    /// Address of the Consul agent
    #[arg(long, value_name = "HOST:PORT")]
    pub consul_addr: Option<String>,
    /// File that holds Consul's ACL token
    #[arg(long, value_name = "PATH")]
    pub consul_token_file: Option<PathBuf>,
    /// Print a list of {"health", "what", "told"} instead of lines
    #[arg(long)]
    pub json: bool,
}

impl Doctor {
    /// As both programs take it.
    pub fn consul(&self) -> consul::settings::Flags {
        consul::settings::Flags {
            address: self.consul_addr.clone(),
            token_file: self.consul_token_file.clone(),
        }
    }
}

/// What `render` takes besides.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Render {
    /// What to do instead.
    #[command(subcommand)]
    pub instead: Option<Instead>,
    /// What both programs take.
    #[command(flatten)]
    pub common: Common,
    /// A template, where its text goes, and a command to run after each change; may be repeated
    #[arg(long, value_name = "SRC:DST[:CMD]")]
    pub template: Vec<String>,
    /// Print what would be written, write and run nothing
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    #[arg(value_parser = truth, action = ArgAction::Set, hide_possible_values = true, hide_default_value = true)]
    pub dry: bool,
    /// Check configuration and templates, and do nothing else
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    #[arg(value_parser = truth, action = ArgAction::Set, hide_possible_values = true, hide_default_value = true)]
    pub parse_only: bool,
    /// consul-template's flags.
    #[command(flatten)]
    pub over: Over,
}

/// Flags of `render` that stand for a key of the configuration, with what was given.
#[derive(Debug, Default)]
pub struct Over(Vec<(String, String)>);

impl Args for Over {
    fn augment_args(command: Command) -> Command {
        FLAGS.iter().fold(command, |command, flag| command.arg(argument(flag)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Over::augment_args(command)
    }
}

impl FromArgMatches for Over {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |flag: &Flag| {
            let values = matches.get_many::<String>(flag.name).into_iter().flatten();
            values.map(|value| (flag.name.to_owned(), value.clone())).collect::<Vec<_>>()
        };
        Ok(Over(FLAGS.iter().flat_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Over::from_arg_matches(matches)?;
        Ok(())
    }
}

fn argument(flag: &Flag) -> Arg {
    let argument = Arg::new(flag.name).long(flag.name).help(flag.help).help_heading("As in consul-template");
    let argument = match flag.takes {
        Takes::Texts => return argument.action(ArgAction::Append).value_name("TEXT"),
        Takes::Bool => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_parser(|text: &str| truth(text).map(|_| text.to_owned()))
            .value_name("BOOL"),
        Takes::Number => argument.allow_negative_numbers(true).value_name("NUMBER"),
        Takes::Text => argument.value_name("TEXT"),
    };
    argument.action(ArgAction::Set).overrides_with(flag.name)
}

fn truth(text: &str) -> Result<bool, String> {
    render::config::flags::truth(text).ok_or_else(|| "write true or false".to_owned())
}

/// The arguments with two dashes where consul-template's users write one: `render -once -consul-addr=…`. Flags of one
/// letter stay, but for `-v`.
pub fn two_dashes(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut command = <Arguments as CommandFactory>::command();
    command.build();
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let Some(render) = command.find_subcommand("render") else { return arguments };
    if arguments.get(1).is_none_or(|program| program != "render") {
        return arguments;
    }
    let known: Vec<&str> = render.get_arguments().filter_map(Arg::get_long).collect();
    for argument in arguments.iter_mut().skip(2).take_while(|argument| *argument != "--") {
        let Some(one) = argument.to_str().and_then(|text| text.strip_prefix('-')) else { continue };
        let name = one.split_once('=').map_or(one, |(name, _)| name);
        if name == "v" {
            *argument = "--version".into();
        } else if known.contains(&name) {
            *argument = format!("--{one}").into();
        }
    }
    arguments
}

/// What `render` does instead of rendering.
#[derive(Debug, Subcommand)]
pub enum Instead {
    /// Explains for two HAProxy configurations what would be done and why, and does nothing
    Diff(Diff),
    /// Tries templates over recorded answers of Consul, and compares the texts with those expected
    Test {
        /// Folder with cases (files named case.json or templates.json, deeper folders too), or such a file
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Write the files that the cases name as expected_file anew, in place of comparing; read what changed
        #[arg(long)]
        write: bool,
    },
    /// Tells which questions templates ask of Consul, by which calls, and how many connections that takes
    Explain {
        /// Template files
        templates: Vec<PathBuf>,
        /// Configuration file or folder, in place of templates; may be repeated
        #[arg(short, long, value_name = "PATH")]
        config: Vec<PathBuf>,
        /// Folder of the partials of the templates
        #[arg(long, value_name = "DIR")]
        partials: Option<PathBuf>,
        /// Ask Consul each question once, so that what comes of answers is told too, and how large they are
        #[arg(long)]
        live: bool,
        /// Address of the Consul agent, for --live
        #[arg(long, value_name = "HOST:PORT")]
        consul_addr: Option<String>,
        /// File that holds Consul's ACL token, for --live
        #[arg(long, value_name = "PATH")]
        consul_token_file: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Prints a template of consul-template in Handlebars, and names what Handlebars has no way to say
    Migrate {
        /// The template
        template: PathBuf,
        /// What its actions begin with
        #[arg(long, value_name = "TEXT", default_value = "{{")]
        left_delimiter: String,
        /// What they end with
        #[arg(long, value_name = "TEXT", default_value = "}}")]
        right_delimiter: String,
    },
    /// Tells what template functions there are, or what one of them gives
    Functions {
        /// A function's name
        name: Option<String>,
    },
}

/// What `render diff` takes.
#[derive(Args, Debug)]
pub struct Diff {
    /// The configuration that HAProxy runs
    pub old: PathBuf,
    /// The next one
    pub new: PathBuf,
    /// HAProxy's version
    #[arg(long, value_name = "VERSION", default_value = "2.6.12")]
    pub haproxy_version: String,
    /// HAProxy's answer to `show servers state`; without it, it is taken for freshly started
    #[arg(long, value_name = "PATH")]
    pub running: Option<PathBuf>,
    /// A map or certificate that the configurations name, and the file with what it will hold; may be repeated
    #[arg(long, value_name = "NAME=PATH", value_parser = replaced)]
    pub replaced: Vec<(String, PathBuf)>,
    /// Print the lines for HAProxy's socket instead, and the verdict as an error
    #[arg(long)]
    pub commands: bool,
}

fn replaced(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("write NAME=PATH")?;
    Ok((name.to_owned(), path.into()))
}

impl Common {
    fn consul(&self) -> consul::settings::Flags {
        consul::settings::Flags {
            address: self.consul_addr.clone(),
            token_file: self.consul_token_file.clone(),
        }
    }

    fn admin(&self) -> daemon::settings::AdminFlags {
        daemon::settings::AdminFlags {
            address: self.admin_addr.clone(),
            level: self.log_level.clone(),
            format: self.log_format.clone(),
        }
    }

    /// As `register` takes it.
    pub fn register_flags(&self) -> register::RegisterFlags {
        register::RegisterFlags { consul: self.consul(), admin: self.admin() }
    }
}

impl Render {
    /// As `render` takes it.
    pub fn flags(&self) -> render::Flags {
        render::Flags {
            consul: self.common.consul(),
            admin: self.common.admin(),
            templates: self.template.clone(),
            dry: self.dry,
            over: self.over.0.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(line: &str) -> Result<Render, String> {
        let arguments = ["rolecall", "render"].into_iter().chain(line.split_whitespace()).map(OsString::from);
        match Arguments::try_parse_from(two_dashes(arguments)).map_err(|e| e.to_string())?.program {
            Program::Render(render) => Ok(render),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn flags_as_go_writes_them() {
        Arguments::command().debug_assert();
        for (line, wanted) in [
            ("-once", "once=true"),
            ("--once=false", "once=false"),
            ("-once=0 -once=T", "once=T"),
            ("-wait 5s:10s", "wait=5s:10s"),
            ("-wait=5s -wait=6s", "wait=6s"),
            ("-exec-env-custom a=b -exec-env-custom=c=d", "exec-env-custom=a=b exec-env-custom=c=d"),
            ("-consul-ssl-verify=false -max-stale=0", "max-stale=0 consul-ssl-verify=false"),
        ] {
            let given = render(line).unwrap().over.0;
            let given: Vec<_> = given.iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(given.join(" "), wanted, "{line}");
        }
        let all = render(
            "-config a -c b -template x:y:z -consul-addr=h:1 -consul-token-file t -log-level debug -dry",
        );
        let all = all.unwrap();
        assert_eq!(all.common.config, [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!((all.template[0].as_str(), all.dry, all.parse_only), ("x:y:z", true, false));
        assert_eq!(all.common.consul_addr.as_deref(), Some("h:1"));
        assert_eq!(all.common.log_level.as_deref(), Some("debug"));
        for wrong in ["-onec", "-once=maybe", "-wait", "more"] {
            assert!(render(wrong).is_err(), "{wrong}");
        }
        assert!(render("-v").unwrap_err().contains("rolecall-render"));
        assert!(render("-h").unwrap_err().contains("--exec-kill-timeout"));
    }
}
