//! What the command line may say.

use clap::{Args, Parser, Subcommand};
use std::{path::PathBuf, time::Duration};

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

/// What both programs take.
#[derive(Args, Debug)]
pub struct Common {
    /// Configuration file or folder (HCL or JSON); may be repeated, later ones go before earlier ones
    #[arg(short, long, value_name = "PATH")]
    pub config: Vec<PathBuf>,
    /// Address of the Consul agent
    #[arg(long, value_name = "HOST:PORT")]
    pub consul_addr: Option<String>,
    /// File that holds Consul's ACL token
    #[arg(long, value_name = "PATH")]
    pub consul_token_file: Option<PathBuf>,
    /// Address of the admin pages: /healthz /readyz /metrics /status
    #[arg(long, value_name = "IP:PORT")]
    pub admin_addr: Option<String>,
    /// Least important events to log: trace, debug, info, warn or error
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Log as text or json
    #[arg(long, value_name = "FORMAT")]
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
    /// Render each template once, then end
    #[arg(long)]
    pub once: bool,
    /// Print what would be written, write and run nothing
    #[arg(long)]
    pub dry: bool,
}

/// What `render` does instead of rendering.
#[derive(Debug, Subcommand)]
pub enum Instead {
    /// Explains for two HAProxy configurations what would be done and why, and does nothing
    Diff(Diff),
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
            once: self.once,
            dry: self.dry,
        }
    }
}
