//! Arguments → configuration → run. The only place that is allowed an untyped error: whatever reaches it is shown to a person.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use deskhand::agent::cache::Kind;
use deskhand::agent::prompts::{Prompts, compare};
use deskhand::clock::Clock;
use deskhand::journal::brake::Brake;
use deskhand::run::next::Models;
use deskhand::{config, crashtest, demo, init, keep, pause, serve, sim, telemetry};

/// A customer-support agent that you run yourself: Zendesk tickets in, answers out, every step durable.
#[derive(Parser)]
#[command(name = "deskhand", version, about, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "Start with `deskhand demo`: it needs no account, no key and no network.\n\
    Logs go to standard error; DESKHAND_LOG sets their level (for example DESKHAND_LOG=debug).")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch it work: a simulated shop, its mail, the agent and the pages, in one process
    #[command(after_help = "Examples:\n  \
        deskhand demo                             the shipped shop; open the printed page, stop with Ctrl-C\n  \
        deskhand demo --exit --json --seed 7      run to the end, print one JSON object, exit status 1 if anything is off\n  \
        deskhand demo --world ./my-world          a shop of your own (README.md, \"The world format\")\n  \
        deskhand demo --data ./demo               keep everything; started again it goes on where it stopped\n  \
        deskhand demo --faults stripe.lost_after=0.1,zendesk.429=3x   with things going wrong on purpose\n\n\
        Claude is a scripted stand-in unless ANTHROPIC_API_KEY is set or --model-url is given.")]
    Demo(DemoArgs),
    /// The real thing: works the tickets of your Zendesk
    #[command(
        after_help = "Reads deskhand.toml, then the environment (DESKHAND_ZENDESK__BASE_URL sets zendesk.base_url).\n\
        Every mistake in it is reported at once; the exit status is then 2. `deskhand init` writes a first file."
    )]
    Serve(ServeArgs),
    /// Only the simulators: Zendesk, Stripe, billing API, mail and the Messages API on one address
    #[command(after_help = "Prints the base URL of each vendor and the credentials that it takes.\n\
        GET /_world shows what happened; POST /_faults with a spec such as `stripe.500=2x` changes what goes wrong.")]
    Sim(SimArgs),
    /// Proves on your machine that a crash loses nothing and doubles nothing: dies at every boundary, resumes, compares
    #[command(after_help = "Examples:\n  \
        deskhand crashtest                          five tickets of the shipped shop\n  \
        deskhand crashtest --tickets 50             takes some minutes\n  \
        deskhand crashtest --list                   the boundaries\n  \
        deskhand crashtest --only 'NAME'            dies at this one only\n  \
        deskhand crashtest --kills 100 --tickets 40 --faults stripe.lost_after=0.1,claude.529=0.05\n\n\
        Everything happens in a scratch folder against simulated vendors; no installation is touched. The exit status is 1 if\n\
        a guarantee broke.")]
    Crashtest(CrashtestArgs),
    /// The process that `crashtest` kills
    #[command(name = crashtest::DESK_COMMAND, hide = true)]
    CrashtestDesk,
    /// Asks a few questions and writes deskhand.toml
    Init(InitArgs),
    /// Copies the journal while the process serves, and verifies the copy
    #[command(
        after_help = "Without DEST the copy goes into the folder `backups` of the data folder, with the time in its name.\n\
        DEST is a folder, or a file that is not there yet (with an ending, such as journal.db)."
    )]
    Backup(BackupArgs),
    /// Puts a backup in the place of the journal; says what is lost by it
    #[command(
        after_help = "Stop deskhand first. The journal that is there is kept beside the new one. A restored journal is paused:\n\
        what was done since the backup is not known to it. To take a journal that ends too early as it is, restore\n\
        its own file: deskhand restore DIR/deskhand.db --data DIR"
    )]
    Restore(RestoreArgs),
    /// Looks the data folder over: rights, disk, schema, integrity, runs, backups, clock
    #[command(
        after_help = "Each line passes, warns or fails, with what to do. Exit status 1 when one fails. Changes nothing."
    )]
    Check(CheckArgs),
    /// Holds the agent back, whether a process serves or not
    #[command(after_help = "Without a flag: new tickets are read, no step starts; what is in flight ends.\n\
        Nothing is lost in any of them; `deskhand resume` lets it go on. A process that serves obeys within two seconds.")]
    Pause(PauseArgs),
    /// Lets the agent go on after a pause
    Resume(DataArgs),
    /// Shows the prompts that are in use, how they differ from those in the binary, and their length
    #[command(
        after_help = "A file in the folder replaces the prompt of the same name: system.md, handbook.md, router.md, reminder.md,\n\
        tools/TOOL.md, holding/LANGUAGE.md. Exit status 1 from `check` when a prompt is too short for the vendor's cache."
    )]
    Prompts(PromptsArgs),
}

#[derive(Args)]
struct PromptsArgs {
    /// show: as the models get them; diff: against those in the binary; check: their length against the cache's floors
    #[arg(value_enum, default_value = "check")]
    what: PromptsWhat,
    /// The team's own prompts; absent: `prompts_dir` of the configuration, else those in the binary
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The configuration [default: deskhand.toml, if it is there]
    #[arg(long, value_name = "FILE", default_value = "deskhand.toml")]
    config: PathBuf,
    /// Print JSON (check)
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum PromptsWhat {
    Show,
    Diff,
    Check,
}

/// Which data folder.
#[derive(Args)]
struct DataArgs {
    /// The configuration that names the data folder [default: deskhand.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder itself
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl DataArgs {
    fn folder(self) -> Result<PathBuf, config::Mistakes> {
        match self.data {
            Some(folder) => Ok(folder),
            None => {
                let missing = self.config.iter().find(|file| !file.exists());
                if let Some(file) = missing {
                    return Err(config::Mistakes(vec![config::Mistake {
                        key: "--config".to_owned(),
                        what: format!("there is no file `{}`", file.display()),
                        hint: "check the path, or give the data folder itself with --data DIR".to_owned(),
                    }]));
                }
                let file = self.config.unwrap_or_else(|| PathBuf::from("deskhand.toml"));
                serve::read_layers(&file)?.data_dir()
            }
        }
    }
}

#[derive(Args)]
struct BackupArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Where the copy goes
    #[arg(value_name = "DEST")]
    to: Option<PathBuf>,
    /// Remove older backups of that folder but the newest N
    #[arg(long, value_name = "N", value_parser = count)]
    keep: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct CheckArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct DemoArgs {
    /// Folder of a world; without it the shipped shop is used
    #[arg(long, value_name = "DIR")]
    world: Option<PathBuf>,
    /// Only the first N tickets of the world
    #[arg(long, value_name = "N", value_parser = count)]
    tickets: Option<usize>,
    /// Seed of everything that is left to chance
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed)]
    seed: u64,
    /// Tickets per minute, evenly spaced, instead of the times in the world
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    /// Where the pages listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8484", value_parser = address)]
    listen: SocketAddr,
    /// Folder that keeps journal and world; without it everything is forgotten at the end
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What goes wrong on purpose: vendor.fault=RATE or vendor.fault=Nx, separated by commas; `help` lists all
    #[arg(long, value_name = "SPEC", default_value = "")]
    faults: String,
    /// How long the simulated vendors take: none, quick, typical, slow, or milliseconds
    #[arg(long, value_name = "PROFILE", default_value = "none")]
    latency: sim::latency::Latency,
    /// A server that speaks the Messages API, instead of the stand-in
    #[arg(long, value_name = "URL")]
    model_url: Option<String>,
    /// Stop when every ticket has come to rest and print the summary
    #[arg(long)]
    exit: bool,
    /// Print the summary as one JSON object (with --exit)
    #[arg(long, requires = "exit")]
    json: bool,
}

#[derive(Args)]
struct ServeArgs {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "deskhand.toml")]
    config: PathBuf,
}

#[derive(Args)]
struct SimArgs {
    /// Folder of a world; without it the shipped shop is used
    #[arg(long, value_name = "DIR")]
    world: Option<PathBuf>,
    /// Where they listen (mail takes a port of its own)
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8585", value_parser = address)]
    listen: SocketAddr,
    /// What goes wrong on purpose; `help` lists all faults
    #[arg(long, value_name = "SPEC", default_value = "")]
    faults: String,
    /// How long answers take: none, quick, typical, slow, or milliseconds
    #[arg(long, value_name = "PROFILE", default_value = "none")]
    latency: sim::latency::Latency,
    /// Seed of everything that is left to chance
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed)]
    seed: u64,
}

#[derive(Args)]
struct CrashtestArgs {
    /// Folder of a world; without it the shipped shop is used
    #[arg(long, value_name = "DIR")]
    world: Option<PathBuf>,
    /// Only the first N tickets of the world
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = count)]
    tickets: usize,
    /// Seed of everything that is left to chance
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed)]
    seed: u64,
    /// Only list the boundaries
    #[arg(long)]
    list: bool,
    /// Die at this boundary only (may be given several times)
    #[arg(long, value_name = "NAME", conflicts_with_all = ["list", "kills"])]
    only: Vec<String>,
    /// With --only: die there each time it is come to. Where each try comes to it again, as to a request to a vendor, the run must
    /// be parked by the third death; a boundary that is come to once is died at once
    #[arg(long, requires = "only")]
    always: bool,
    /// With --only: panic there instead of dying; the process must live
    #[arg(long, requires = "only")]
    panic: bool,
    /// How many worlds are played side by side [default: the machine's cores, at most 4]
    #[arg(long, value_name = "N", value_parser = count)]
    jobs: Option<usize>,
    /// Kill at N random moments under load, instead of at boundaries
    #[arg(long, value_name = "N", conflicts_with = "list", value_parser = count)]
    kills: Option<usize>,
    /// What goes wrong on purpose besides (with --kills): vendor.fault=RATE or vendor.fault=Nx, separated by commas; `help`
    /// lists all
    #[arg(long, value_name = "SPEC", default_value = "")]
    faults: String,
    /// How many runs are worked at once
    #[arg(long, value_name = "N", default_value_t = 4, requires = "kills", value_parser = count)]
    workers: usize,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct InitArgs {
    /// The file to write
    #[arg(long, value_name = "FILE", default_value = "deskhand.toml")]
    config: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

#[derive(Args)]
struct PauseArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Only take no new tickets in; the open runs go on to their end
    #[arg(long, conflicts_with = "now")]
    drain: bool,
    /// Stop at once: read nothing, drop what is in flight (it is looked for later)
    #[arg(long)]
    now: bool,
    /// Why, for everybody who sees it
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

// What an option takes, each mistake with what to give instead.

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("it is no number above 0\nhint: give tickets per minute, such as 30 or 0.5".to_owned()),
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => {
            Err("there must be at least one\nhint: give 1 or more; leave the option out for all, or for the default"
                .to_owned())
        }
        Ok(count) => Ok(count),
        Err(_) => Err("it is no whole number\nhint: give 1 or more, in digits alone".to_owned()),
    }
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| {
        "it is no whole number\nhint: any from 0 on will do; the same one gives the same chances".to_owned()
    })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let port = text.trim_start_matches([':', '*']).rsplit(':').next().unwrap_or_default();
        let port = if port.parse::<u16>().is_ok() { port } else { "8484" };
        format!("it is no address with a port\nhint: write 127.0.0.1:{port}, or 0.0.0.0:{port} for every network of this machine")
    })
}

/// A configuration or a world that must be mended first.
const EXIT_BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::start(match &cli.command {
        Command::Serve(_) | Command::Sim(_) => telemetry::Level::Info,
        Command::Demo(_) | Command::Init(_) | Command::Crashtest(_) | Command::CrashtestDesk => telemetry::Level::Error,
        _ => telemetry::Level::Warn,
    });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the process cannot start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli.command)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            ExitCode::from(if is_bad_input(&error) { EXIT_BAD_INPUT } else { 1 })
        }
    }
}

/// Whether a person must mend a file or an argument first.
fn is_bad_input(error: &anyhow::Error) -> bool {
    use deskhand::{crashtest::Error as Crashtest, demo::Error as Demo, serve::Error as Serve};
    error.is::<config::Mistakes>()
        || error.is::<sim::world_file::BadWorld>()
        || error.is::<sim::faults::BadFaults>()
        || matches!(error.downcast_ref(), Some(Demo::World(_) | Demo::Faults(_) | Demo::Config(_)))
        || matches!(error.downcast_ref(), Some(Serve::Config(_)))
        || matches!(
            error.downcast_ref(),
            Some(Crashtest::World(_) | Crashtest::Faults(_) | Crashtest::Config(_) | Crashtest::NoSuchBoundary(_))
        )
}

/// The error and its causes, each once.
fn chain(error: &anyhow::Error) -> String {
    let mut lines: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if !lines.iter().any(|line| line.contains(&text)) {
            lines.push(text);
        }
    }
    lines.join("\n  because: ")
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(DemoArgs { faults, .. })
        | Command::Sim(SimArgs { faults, .. })
        | Command::Crashtest(CrashtestArgs { faults, .. })
            if faults.trim() == "help" =>
        {
            print!("{}", sim::faults::help());
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(args) => {
            let held = demo::run(demo::Options {
                world: args.world,
                tickets: args.tickets,
                seed: args.seed,
                rate: args.rate,
                listen: args.listen,
                data: args.data,
                faults: args.faults,
                latency: args.latency,
                api_key: std::env::var("ANTHROPIC_API_KEY")
                    .ok()
                    .filter(|key| !key.is_empty() && args.model_url.is_none()),
                model_url: args.model_url,
                exit: args.exit,
                json: args.json,
            })
            .await?;
            Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Serve(args) => {
            serve::run(&args.config).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Sim(args) => {
            sim_only(args).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Backup(args) => {
            let made = keep::backup::run(&args.data.folder()?, args.to.as_deref(), args.keep, &Clock::system()).await?;
            println!("{}", if args.json { made.json().to_string() } else { made.text() });
            Ok(ExitCode::SUCCESS)
        }
        Command::Restore(args) => {
            let done = keep::restore::run(&args.file, &args.data.folder()?, args.dry_run, &Clock::system()).await?;
            println!("{}", if args.json { done.json().to_string() } else { done.text() });
            Ok(ExitCode::SUCCESS)
        }
        Command::Check(args) => {
            let lines = keep::check::data(&args.data.folder()?, Clock::system().now());
            let report = keep::check::Report { lines };
            println!("{}", if args.json { report.json().to_string() } else { report.text() });
            Ok(if report.worst() == keep::check::Verdict::Fail { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        Command::Prompts(args) => show_prompts(&args),
        Command::Crashtest(CrashtestArgs { kills: None, faults, .. }) if !faults.trim().is_empty() => {
            Err(config::Mistakes(vec![config::Mistake {
                key: "--faults".to_owned(),
                what: "deaths at boundaries are compared with an undisturbed run, so nothing else goes wrong in them"
                    .to_owned(),
                hint: "add --kills N to kill at random moments while the vendors fail".to_owned(),
            }])
            .into())
        }
        Command::Crashtest(args) => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let held = crashtest::run(crashtest::Options {
                world: args.world,
                tickets: args.tickets,
                seed: args.seed,
                always: args.always,
                panic: args.panic,
                only: args.only,
                list: args.list,
                jobs: args.jobs.unwrap_or(cores.min(4)),
                kills: args.kills.map(|kills| kills as u64),
                faults: args.faults,
                workers: args.workers,
                json: args.json,
            })
            .await?;
            Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::CrashtestDesk => {
            crashtest::desk::run().await;
            Ok(ExitCode::SUCCESS)
        }
        Command::Pause(args) => {
            let brake = match (args.drain, args.now) {
                (true, _) => Brake::Draining,
                (_, true) => Brake::Stopped,
                _ => Brake::Paused,
            };
            println!("{}", pause::pause(&args.data.folder()?, brake, &args.reason).await?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Resume(args) => {
            println!("{}", pause::resume(&args.folder()?).await?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Init(args) => {
            init::run(&args.config, args.force).context("the configuration was not written")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn sim_only(args: SimArgs) -> anyhow::Result<()> {
    let files = match &args.world {
        Some(folder) => sim::world_file::load_dir(folder)?,
        None => sim::world_file::shipped()?,
    };
    let clock = Clock::starting_at(files.now);
    let mut options = sim::Options::new(files, clock);
    options.faults = args.faults.parse::<sim::faults::Faults>()?;
    options.latency = args.latency;
    options.seed = args.seed;
    options.listen = args.listen;
    let running = sim::Sim::start(options).await?;
    println!("simulators of {} (nothing here is real)\n", running.world().files().shop.name);
    println!("  Zendesk    {}", running.zendesk_url());
    println!(
        "             OAuth client {} / {}",
        sim::credentials::ZENDESK_CLIENT_ID,
        sim::credentials::ZENDESK_CLIENT_SECRET
    );
    println!("  Stripe     {}   key {}", running.stripe_url(), sim::credentials::STRIPE_KEY);
    println!("  billing    {}   token {}", running.billing_url(), sim::credentials::BILLING_TOKEN);
    println!("  Claude     {}   key {} (a scripted stand-in)", running.claude_url(), sim::credentials::CLAUDE_KEY);
    println!("  mail       {}", running.smtp_address());
    println!("\n  what happened   curl {}/_world", running.base_url());
    println!("  faults          curl -X POST -d 'stripe.500=2x' {}/_faults", running.base_url());
    println!("  stop            Ctrl-C");
    tokio::signal::ctrl_c().await.context("the stop signal cannot be heard")?;
    running.shutdown().await;
    Ok(())
}

/// Shows a prompt set. Needs no configuration: what is not given is as shipped.
fn show_prompts(args: &PromptsArgs) -> anyhow::Result<ExitCode> {
    let layers = serve::read_layers(&args.config)?;
    let of = |key: &str, default: String| layers.text(key).unwrap_or(default);
    let folder = args.dir.clone().or_else(|| layers.text("prompts_dir").map(PathBuf::from));
    let prompts = Prompts::load(folder.as_deref())?;
    let usual = Models::default();
    let (router, simple, complex) = (
        of("claude.router_model", usual.router),
        of("claude.simple_model", usual.simple),
        of("claude.complex_model", usual.complex),
    );
    match args.what {
        PromptsWhat::Show => print!("{}", compare::rendered(&prompts)),
        PromptsWhat::Diff => match compare::difference(&prompts).as_str() {
            "" => println!("prompt set {}: as in the binary", prompts.hash),
            difference => print!("prompt set {}\n{difference}", prompts.hash),
        },
        PromptsWhat::Check => {
            let models = [(Kind::Route, &*router), (Kind::Turn, &*simple), (Kind::Turn, &*complex)];
            let lengths = compare::lengths(&prompts, models);
            let too_short = lengths.iter().any(|length| length.long_enough == Some(false));
            if args.json {
                println!("{}", serde_json::json!({ "prompts": prompts.hash, "prefixes": lengths }));
            } else {
                println!("prompt set {}", prompts.hash);
                for (name, bytes, tokens) in compare::parts(&prompts, &complex) {
                    println!("  {name:<30} {bytes:>6} bytes  about {tokens:>5} tokens of {complex}");
                }
                for length in &lengths {
                    let known = |n: Option<u64>| n.map_or_else(|| "not known".to_owned(), |n| n.to_string());
                    let verdict = match length.long_enough {
                        Some(true) => "pass",
                        Some(false) => "FAIL: it may not be cached; make it longer, or set `claude.floors`",
                        None => "WARN: cannot be told",
                    };
                    let (tokens, floor) = (known(length.tokens), known(length.floor));
                    println!(
                        "  {} by {}: about {tokens} tokens, floor {floor}: {verdict}",
                        length.used_for, length.model
                    );
                }
            }
            if too_short {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
