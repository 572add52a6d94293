//! Builds everything once, starts the roles, stops them in order. The only place that knows all rooms (but the simulators).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use crate::agent::cache::{self, Cache, Kind};
use crate::agent::conversation::{self, Asking};
use crate::agent::hold::Hold;
use crate::agent::perform::Performer;
use crate::agent::prompts::{self, Prompts};
use crate::agent::worker::Worker;
use crate::clients::{self, billing, claude, email, stripe, zendesk};
use crate::clock::Clock;
use crate::config::{Config, ZendeskAuth};
use crate::failure::FailureClass;
use crate::health::{Health, Trouble};
use crate::ids::UserId;
use crate::intake::poller::{Poller, Settings as IntakeSettings};
use crate::journal::accounts::Accounts;
use crate::journal::brake::Brake;
use crate::journal::sqlite::{SqliteJournal, Stats};
use crate::journal::views::Views;
use crate::journal::{self, Journal};
use crate::knowledge::{self, Knowledge};
use crate::limiter::Limiter;
use crate::run::next::{Models, Rules};
use crate::tools::{self, Tools};
use crate::web;

/// How often the help center is read anew.
const KNOWLEDGE_EVERY: Duration = Duration::from_secs(900);
/// How often the rate at which tickets come is looked at.
const RATE_EVERY: Duration = Duration::from_secs(600);
/// Over how long: long enough to be a rate in a quiet night, short enough to follow the day.
const RATE_OVER: Duration = Duration::from_secs(3 * 3_600);
/// How often what is no longer kept is removed.
const RETENTION_EVERY: Duration = Duration::from_secs(3_600);
/// How long the stop waits for steps in flight; one that is dropped is looked for when its run goes on.
const STEPS_END_WITHIN: Duration = Duration::from_secs(7);
/// How long it then waits for leases to be given back. With the journal's last write the whole stop takes less than ten
/// seconds.
const LEASES_END_WITHIN: Duration = Duration::from_secs(1);
/// A worker looks now and then even when no bell rang.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why Deskhand cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A vendor refuses us, or its settings are wrong.
    #[error("{vendor} cannot be used: {source}\nhint: {hint}")]
    Vendor {
        /// Which.
        vendor: &'static str,
        /// Why.
        source: clients::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The prompts in the binary or in the team's folder.
    #[error(transparent)]
    Prompts(#[from] prompts::BadPrompts),
    /// The help center's index.
    #[error(transparent)]
    Knowledge(#[from] knowledge::Error),
    /// The pages' address.
    #[error(
        "the pages cannot listen on `{address}`: {source}\nhint: set `web.listen` to a free address, or stop what uses it"
    )]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
}

/// What differs between a real installation and a demo.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The vendors are simulated; the pages say so.
    pub demo: bool,
    /// Claude is a scripted stand-in; the pages say so.
    pub stand_in: bool,
    /// From when on tickets are picked up at the first start; absent: from now.
    pub first_start_at: Option<Timestamp>,
}

/// How far intake and the workers are, for whoever waits for rest.
#[derive(Debug, Default)]
pub struct Activity {
    /// Turns of the list lane that ended well.
    pub list_turns: AtomicU64,
    /// Runs opened or joined.
    pub arrived: AtomicU64,
    /// Workers that are moving a run.
    pub moving: AtomicU64,
    /// The help center has been read.
    pub knowledge_read: AtomicU64,
}

/// A running Deskhand.
pub struct App {
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// What pages read.
    pub views: Arc<dyn Views>,
    /// Who signs in.
    pub accounts: Arc<dyn Accounts>,
    /// How far it is.
    pub activity: Arc<Activity>,
    /// Where the pages are, `http://127.0.0.1:8484`.
    pub url: String,
    /// What is wrong right now.
    pub health: Arc<Health>,
    hold: Arc<Hold>,
    store: Arc<SqliteJournal>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl App {
    /// Opens the journal, serves the pages, then meets the vendors and starts to work. Pages answer before vendors do.
    pub async fn start(config: Config, clock: Clock, options: Options) -> Result<App, Error> {
        let store = Arc::new(SqliteJournal::open(&config.data_dir)?);
        Self::start_on(store, config, clock, options).await
    }

    /// The same on a journal that is open already: that of the configuration's `data_dir`. For whoever must have the folder
    /// before other things in it are touched.
    pub async fn start_on(
        store: Arc<SqliteJournal>,
        config: Config,
        clock: Clock,
        options: Options,
    ) -> Result<App, Error> {
        clients::install_tls();
        match store.wake_the_future(clock.now_ms()).await {
            Ok(0) => {}
            Ok(runs) => warn!("the clock was set back since {runs} runs were put off; they go on now"),
            // A disk that is full now is told elsewhere; the runs go on when their time comes.
            Err(failed) => warn!("runs that were put off cannot be looked at: {failed}"),
        }
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let activity = Arc::new(Activity::default());
        let health = Arc::new(Health::default());
        let (watched, told) = (store.clone(), clock.clone());
        health.watch_journal(move || {
            let trouble = watched.health().trouble?;
            let since_ms = told.now_ms().saturating_sub(i64::try_from(trouble.for_ms).unwrap_or(i64::MAX));
            Some(Trouble { since_ms, said: format!("{}; {}", trouble.reason, trouble.hint) })
        });
        let zone = TimeZone::get(&config.web.time_zone).unwrap_or(TimeZone::UTC);
        let hold = Arc::new(Hold::new(store.clone(), clock.clone(), health.clone(), zone, config.spend));
        let prompts = Prompts::load(config.prompts_dir.as_deref())?;
        info!("prompt set {}", prompts.hash);

        let listen = |source| Error::Listen { address: config.web.listen.clone(), source };
        let listener = TcpListener::bind(&config.web.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let url = config.web.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        let pages = web::router(web::App {
            journal: store.clone(),
            views: store.clone(),
            accounts: store.clone(),
            clock: clock.clone(),
            health: health.clone(),
            stop: stop.clone(),
            settings: web::Settings {
                shop: config.shop.name.clone(),
                demo: options.demo,
                stand_in: options.stand_in,
                ticket_url: Some(format!("{}/agent/tickets/", config.zendesk.base_url)).filter(|_| !options.demo),
                undo_window: Duration::from_secs(config.web.undo_window_s.unsigned_abs()),
                time_zone: config.web.time_zone.clone(),
                policy: config.policy.clone(),
                mode: config.mode.as_str().to_owned(),
                prices: config.prices.clone(),
                one_model: config.claude.models.complex.clone(),
                cost_max_micros: config.limits.cost_max_micros,
                spend: config.spend,
                secure_cookies: url.starts_with("https://"),
            },
        });
        let stopped = stop.clone();
        tasks.spawn(async move {
            let served = axum::serve(listener, pages).with_graceful_shutdown(stopped.cancelled_owned());
            if let Err(failed) = served.await {
                error!("the pages stopped: {failed}");
            }
        });
        info!("pages at {url}");

        let app = App {
            journal: store.clone(),
            views: store.clone(),
            accounts: store.clone(),
            activity,
            url,
            health,
            hold,
            store,
            stop,
            tasks,
        };
        match app.work(&config, &clock, &options, prompts).await {
            Ok(()) => Ok(app),
            Err(failed) => {
                app.stop(&clock).await;
                Err(failed)
            }
        }
    }

    /// Meets the vendors and starts intake and workers.
    async fn work(&self, config: &Config, clock: &Clock, options: &Options, prompts: Prompts) -> Result<(), Error> {
        let helpdesk = zendesk_client(config, clock)?;
        let me = self.meet(&helpdesk, clock).await?;
        let knowledge = Arc::new(Knowledge::open(Some(&config.data_dir.join("knowledge.db")))?);
        let intake = IntakeSettings {
            me,
            runs_per_ticket_per_day_max: config.runs_per_ticket_per_day_max,
            channels: config.zendesk.channels.clone(),
            // By the helpdesk's own time: the stamps of tickets are compared with it.
            first_start_at: options.first_start_at.unwrap_or_else(|| helpdesk.now()),
            prompts: prompts.hash.clone(),
        };
        let rules = Arc::new(Rules {
            mode: config.mode,
            policy: config.policy.clone(),
            limits: config.limits.clone(),
            models: config.claude.models.clone(),
            holding: prompts.holding.clone(),
        });
        let performer =
            Arc::new(performer(config, clock, prompts, helpdesk, knowledge.clone(), me, self.health.clone())?);
        self.read_help_center(zendesk_client(config, clock)?, knowledge, clock).await;
        self.keep_short(config.retention_days, clock);
        self.watch_cache(performer.clone(), config.claude.models.clone(), clock);
        let (hold, stop) = (self.hold.clone(), self.stop.clone());
        self.tasks.spawn(async move { hold.keep_looking(stop).await });
        self.poll(
            Poller::new(self.journal.clone(), zendesk_client(config, clock)?, clock.clone(), intake),
            config,
            clock,
        );
        let listening = Arc::new(Mutex::new(()));
        for number in 1..=config.concurrent_runs {
            let worker = Worker {
                name: format!("worker-{number}"),
                journal: self.journal.clone(),
                performer: performer.clone(),
                rules: rules.clone(),
                hold: self.hold.clone(),
                clock: clock.clone(),
            };
            self.tasks.spawn(keep_working(worker, listening.clone(), self.stop.clone(), self.activity.clone()));
        }
        Ok(())
    }

    /// Counts the shared prefixes once, then chooses their lives from the rate at which tickets come, again and again.
    fn watch_cache(&self, performer: Arc<Performer>, models: Models, clock: &Clock) {
        let (views, stop, clock) = (self.views.clone(), self.stop.clone(), clock.clone());
        self.tasks.spawn(async move {
            let prefixes =
                [(Kind::Route, &*models.router), (Kind::Turn, &*models.simple), (Kind::Turn, &*models.complex)];
            tokio::select! {
                () = stop.cancelled() => return,
                () = performer.cache.count(&performer.claude, &performer.prompts, prefixes) => {}
            }
            let hours = RATE_OVER.as_secs() as f64 / 3_600.0;
            loop {
                let since_ms = (clock.now() - RATE_OVER).as_millisecond();
                match tokio::try_join!(views.cost_totals(since_ms), views.runs_by_model(since_ms)) {
                    Ok((totals, by_model)) => {
                        let of = |model: &str| {
                            by_model.iter().find(|(known, _)| known == model).map_or(0, |(_, runs)| *runs)
                        };
                        performer.cache.set_rate(Kind::Route, &models.router, totals.runs as f64 / hours);
                        for model in [&models.simple, &models.complex] {
                            performer.cache.set_rate(Kind::Turn, model, of(model) as f64 / hours);
                        }
                    }
                    Err(failed) => warn!("the rate at which tickets come could not be read: {failed}"),
                }
                if !wait(&stop, &clock, RATE_EVERY).await {
                    return;
                }
            }
        });
    }

    /// Removes what ended longer ago than it is kept, now and then.
    fn keep_short(&self, retention_days: u32, clock: &Clock) {
        if retention_days == 0 {
            return;
        }
        let kept = SignedDuration::from_hours(24 * i64::from(retention_days));
        let (store, stop, clock) = (self.store.clone(), self.stop.clone(), clock.clone());
        self.tasks.spawn(async move {
            loop {
                let now = clock.now();
                match store.retire((now - kept).as_millisecond(), now.as_millisecond()).await {
                    Ok(retired) if retired.runs > 0 => {
                        info!("removed {} entries of {} runs that are no longer kept", retired.entries, retired.runs);
                    }
                    Ok(_) => {}
                    Err(failed) => warn!("what is no longer kept could not be removed: {failed}"),
                }
                if !wait(&stop, &clock, RETENTION_EVERY).await {
                    return;
                }
            }
        });
    }

    /// Signs in at the helpdesk; waits for one that is away, gives up on one that refuses.
    async fn meet(&self, helpdesk: &zendesk::Zendesk, clock: &Clock) -> Result<UserId, Error> {
        loop {
            match helpdesk.me().await {
                Ok(me) => {
                    info!("signed in at the helpdesk as `{}` ({})", me.name, me.role);
                    return Ok(me.id);
                }
                Err(away) if away.class() != FailureClass::Refused => {
                    warn!("the helpdesk is away, trying again: {away}");
                    clock.sleep(Duration::from_secs(2)).await;
                }
                Err(source) => {
                    let hint =
                        "check `zendesk.base_url` and the OAuth client; the bot's user must be an agent or admin";
                    return Err(Error::Vendor { vendor: "Zendesk", source, hint });
                }
            }
        }
    }

    /// Fills an empty index before the first ticket is worked, then keeps it fresh. One that holds articles is good enough to
    /// begin with: a process that starts again goes on at once.
    async fn read_help_center(&self, helpdesk: zendesk::Zendesk, knowledge: Arc<Knowledge>, clock: &Clock) {
        let mut fresh = knowledge.size().is_ok_and(|size| size.articles == 0);
        if fresh {
            read_articles(&helpdesk, &knowledge).await;
        }
        self.activity.knowledge_read.store(1, Ordering::Release);
        let (stop, clock) = (self.stop.clone(), clock.clone());
        self.tasks.spawn(async move {
            loop {
                if !std::mem::take(&mut fresh) {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = read_articles(&helpdesk, &knowledge) => {}
                    }
                }
                if !wait(&stop, &clock, KNOWLEDGE_EVERY).await {
                    return;
                }
            }
        });
    }

    fn poll(&self, mut poller: Poller, config: &Config, clock: &Clock) {
        let list_every = Duration::from_millis(config.zendesk.poll_every_ms);
        let incremental_every =
            SignedDuration::from_secs(i64::try_from(config.zendesk.incremental_every_s).unwrap_or(60));
        let (stop, clock, activity) = (self.stop.clone(), clock.clone(), self.activity.clone());
        let hold = self.hold.clone();
        self.tasks.spawn(async move {
            let mut incremental_due = clock.now();
            loop {
                let turn = async {
                    // Under the kill switch nothing is read either. What cannot be looked up is told by the turn itself.
                    if hold.look().await.is_ok_and(|pulled| pulled.is_some_and(|pulled| pulled.brake == Brake::Stopped))
                    {
                        return;
                    }
                    if clock.now() >= incremental_due {
                        incremental_due = clock.now() + incremental_every;
                        match poller.tick_incremental().await {
                            Ok(arrived) => drop(activity.arrived.fetch_add(arrived as u64, Ordering::AcqRel)),
                            Err(failed) => warn!("intake could not read the export, trying again: {failed}"),
                        }
                    }
                    let said = match poller.tick_list().await {
                        Ok(arrived) => {
                            activity.arrived.fetch_add(arrived as u64, Ordering::AcqRel);
                            activity.list_turns.fetch_add(1, Ordering::AcqRel);
                            None
                        }
                        Err(failed) => {
                            warn!("intake could not read the ticket list, trying again: {failed}");
                            Some(failed.to_string())
                        }
                    };
                    hold.health.set_intake(clock.now_ms(), said);
                };
                // What a turn brings is on disk or is read again: it may be dropped anywhere.
                tokio::select! {
                    () = turn => {}
                    () = stop.cancelled() => return,
                }
                if !wait(&stop, &clock, list_every).await {
                    return;
                }
            }
        });
    }

    /// What the journal wrote since the start.
    pub fn stats(&self) -> Stats {
        self.store.stats()
    }

    /// Stops in order, within ten seconds of real time: no new claims and no new steps, steps in flight get a moment, leases are
    /// given back, the journal is flushed last.
    pub async fn stop(self, clock: &Clock) {
        self.stop.cancel();
        self.hold.close();
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => {}
            () = clock.sleep(STEPS_END_WITHIN) => {
                warn!("some steps did not end in time; they are looked for when their runs go on");
                self.hold.drop_steps();
                tokio::select! {
                    () = self.tasks.wait() => {}
                    () = clock.sleep(LEASES_END_WITHIN) => warn!("some tasks did not end in time"),
                }
            }
        }
        self.store.close().await;
        debug!("stopped");
    }
}

/// One worker. After a run it looks for the next one at once; of those that found none, one listens to the bell, and hands
/// that place on before it moves what it finds. Otherwise each commit would wake all of them, and all would ask the journal
/// for a run that is not there.
async fn keep_working(worker: Worker, listening: Arc<Mutex<()>>, stop: CancellationToken, activity: Arc<Activity>) {
    let mut bell = worker.journal.bell();
    let mut last_failure = String::new();
    let mut place = None;
    while !stop.is_cancelled() {
        bell.borrow_and_update(); // Register, then look.
        activity.moving.fetch_add(1, Ordering::AcqRel);
        let worked = match worker.claim().await {
            Ok(Some(claimed)) => {
                place = None;
                worker.work(claimed).await.map(|()| true)
            }
            Ok(None) => Ok(false),
            Err(failed) => Err(failed),
        };
        activity.moving.fetch_sub(1, Ordering::AcqRel);
        let failed = worked.is_err();
        match worked {
            Ok(true) => continue,
            Ok(false) => {}
            Err(failed) => {
                let said = failed.to_string();
                if said != last_failure {
                    warn!("{}: {said}", worker.name);
                    last_failure = said;
                }
            }
        }
        if place.is_none() && !failed {
            tokio::select! {
                () = stop.cancelled() => {}
                mine = listening.clone().lock_owned() => place = Some(mine),
            }
            continue; // It may have taken long to get it.
        }
        // Under a brake, and while the journal cannot be written, what is due stays due.
        let due = match failed || worker.hold.known().is_some_and(Brake::holds_steps) {
            true => None,
            false => worker.journal.next_wake().await.ok().flatten(),
        };
        let now = worker.clock.now();
        let look = now + LOOK_EVERY;
        let until = due.and_then(|ms| Timestamp::from_millisecond(ms).ok()).map_or(look, |due| due.clamp(now, look));
        let at_least = now + Duration::from_millis(20);
        tokio::select! {
            () = stop.cancelled() => {}
            _ = bell.changed() => {}
            () = worker.clock.sleep_until(until.max(at_least)) => {}
        }
    }
}

/// Waits, and says whether to go on.
async fn wait(stop: &CancellationToken, clock: &Clock, for_: Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = clock.sleep(for_) => true,
    }
}

async fn read_articles(helpdesk: &zendesk::Zendesk, knowledge: &Arc<Knowledge>) {
    match helpdesk.articles().await {
        Ok(articles) => {
            let knowledge = knowledge.clone();
            match tokio::task::spawn_blocking(move || knowledge.replace_all(&articles)).await {
                Ok(Ok(size)) => info!("help center read: {} articles can be searched", size.articles),
                Ok(Err(failed)) => error!("the help center's index could not be written: {failed}"),
                Err(failed) => error!("the help center's index could not be written: {failed}"),
            }
        }
        Err(failed) => warn!("the help center could not be read; the last copy is used: {failed}"),
    }
}

/// The helpdesk's client as configured.
pub fn zendesk_client(config: &Config, clock: &Clock) -> Result<zendesk::Zendesk, Error> {
    let auth = match &config.zendesk.auth {
        ZendeskAuth::OAuth { client_id, client_secret } => {
            zendesk::Auth::OAuth { client_id: client_id.clone(), client_secret: client_secret.clone() }
        }
        ZendeskAuth::ApiToken { email, token } => {
            zendesk::Auth::ApiToken { email: email.clone(), token: token.clone() }
        }
    };
    let settings = zendesk::Settings::new(config.zendesk.base_url.clone(), auth);
    let hint = "check `zendesk.base_url`";
    zendesk::Zendesk::new(settings, clock.clone()).map_err(|source| Error::Vendor { vendor: "Zendesk", source, hint })
}

/// Everything that steps are done with, as configured.
pub fn performer(
    config: &Config,
    clock: &Clock,
    prompts: Prompts,
    zendesk: zendesk::Zendesk,
    knowledge: Arc<Knowledge>,
    me: UserId,
    health: Arc<Health>,
) -> Result<Performer, Error> {
    let wrong = |vendor, hint| move |source| Error::Vendor { vendor, source, hint };
    let asking = |effort: &str, thinking| Asking {
        effort: effort.to_owned(),
        thinking,
        tokens_max: config.claude.tokens_max,
        prefix_ttl: config.claude.prefix_ttl.unwrap_or_default(),
    };
    let mut claude_settings = claude::Settings::new(config.claude.api_key.clone());
    claude_settings.base_url.clone_from(&config.claude.base_url);
    claude_settings.version.clone_from(&config.claude.version);
    let mut stripe_settings = stripe::Settings::new(config.stripe.api_key.clone());
    stripe_settings.base_url.clone_from(&config.stripe.base_url);
    let billing = match &config.billing {
        None => None,
        Some(set) => {
            let settings = billing::Settings::new(set.base_url.clone(), set.token.clone());
            let client = billing::Billing::new(settings, clock.clone());
            Some(client.map_err(wrong("the billing API", "check `billing.base_url`"))?)
        }
    };
    let email = match &config.email {
        None => None,
        Some(set) => {
            let client = email::Email::new(email_settings(set));
            Some(client.map_err(wrong("mail", "check `email.host` and `email.from`"))?)
        }
    };
    Ok(Performer {
        tools: Tools {
            zendesk,
            stripe: stripe::Stripe::new(stripe_settings, clock.clone())
                .map_err(wrong("Stripe", "give a restricted key, rk_live_… or rk_test_…, as `stripe.api_key`"))?,
            billing,
            email,
            knowledge,
            clock: clock.clone(),
            me,
            settings: tools::Settings {
                shop_name: config.shop.name.clone(),
                support_address: config.shop.support_address.clone(),
                groups: config.zendesk.groups.clone(),
            },
        },
        claude: claude::Claude::new(claude_settings, clock.clone())
            .map_err(wrong("Claude", "check `claude.base_url` and `claude.api_key`"))?,
        prompts,
        prices: config.prices.clone(),
        ask_router: asking("low", false),
        ask_simple: asking(&config.claude.simple_effort, false),
        ask_complex: asking(&config.claude.complex_effort, config.claude.complex_thinking),
        simple_model: config.claude.models.simple.clone(),
        complex_model: config.claude.models.complex.clone(),
        cache: Arc::new(Cache::new(
            cache::Settings {
                fixed: config.claude.prefix_ttl,
                prices: config.prices.clone(),
                floors: config.claude.floors.clone(),
            },
            health,
        )),
        shop: conversation::Shop { name: config.shop.name.clone(), link_domains: config.shop.link_domains.clone() },
        model_calls: Semaphore::new(config.claude.concurrent_calls),
        limiter: Limiter::default(),
        limits: config.limits.clone(),
        clock: clock.clone(),
    })
}

fn email_settings(set: &crate::config::Email) -> email::Settings {
    let mut settings = email::Settings::new(set.host.clone(), set.from.clone());
    settings.port = set.port;
    settings.security = match set.security.as_str() {
        "tls" => email::Security::Tls,
        "none" => email::Security::Plain,
        _ => email::Security::StartTls,
    };
    settings.credentials.clone_from(&set.login);
    settings
}
