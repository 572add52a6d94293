//! The process that dies: the whole product on one data folder, as `serve` runs it. It stops at each boundary until the parent
//! says go; instead of an answer it may be killed.

use std::io::{BufRead as _, Write as _};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::wire::{Order, Start, Told};
use crate::app::{self, App};
use crate::clock::Clock;
use crate::config::{Config, Layers};
use crate::crash;
use crate::demo::{all_rows, record_decision};
use crate::ids::TicketId;
use crate::journal;
use crate::journal::views::ApprovalFilter;
use crate::run::state::RunState;

/// Works until it is killed, or until its standard input ends because the parent is gone.
pub async fn run() {
    let (go, gone) = mpsc::channel();
    let (forward, mut orders) = unbounded_channel();
    std::thread::spawn(move || listen(&go, &forward));
    tell(&Told::Hello);
    let Some(Heard::Start(start, clock)) = orders.recv().await else { return };
    if start.armed {
        let gone = Mutex::new(gone);
        crash::arm(move |boundary| {
            // One boundary at a time: the second thread waits until the first was let go.
            let gone = gone.lock().unwrap_or_else(PoisonError::into_inner);
            tell(&Told::At(boundary.to_owned()));
            // The sender lives as long as the process.
            if let Ok(Leave::Panic) = gone.recv() {
                panic!("the crash test broke it on purpose");
            }
        });
    }
    if let Err(failed) = work(*start, &clock, &mut orders).await {
        tell(&Told::Failed(failed));
    }
}

/// How a thread leaves the boundary at which it stands.
enum Leave {
    Go,
    Panic,
}

/// What reaches the desk's own task.
enum Heard {
    Start(Box<Start>, Clock),
    Order(Order),
}

/// Reads orders. Leave to go and the time are passed on here, because the desk's threads may all stand at a boundary.
fn listen(go: &mpsc::Sender<Leave>, forward: &UnboundedSender<Heard>) {
    let mut clock: Option<Clock> = None;
    for line in std::io::stdin().lock().lines() {
        let Ok(order) = line.map_err(drop).and_then(|line| serde_json::from_str(&line).map_err(drop)) else { break };
        let heard = match order {
            // The receiver lives as long as the process.
            Order::Go => {
                let _ = go.send(Leave::Go);
                continue;
            }
            Order::Panic => {
                let _ = go.send(Leave::Panic);
                continue;
            }
            Order::Advance(to) => {
                if let Some(clock) = &clock {
                    clock.advance_to(to);
                }
                continue;
            }
            Order::Start(start) => {
                let new = Clock::starting_at(start.now);
                clock = Some(new.clone());
                Heard::Start(start, new)
            }
            other => Heard::Order(other),
        };
        if forward.send(heard).is_err() {
            break;
        }
    }
    std::process::exit(0);
}

fn tell(told: &Told) {
    let mut line = serde_json::to_vec(told).unwrap_or_default();
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    // Without a parent there is nobody to tell; standard input ends as well.
    let _ = out.write_all(&line).and_then(|()| out.flush());
}

async fn work(start: Start, clock: &Clock, orders: &mut UnboundedReceiver<Heard>) -> Result<(), String> {
    let watch = clock.stopwatch();
    let mut layers = Layers::default();
    for (key, value) in start.config {
        layers.set(&key, value);
    }
    let config = Config::read(layers).map_err(|mistakes| mistakes.to_string())?;
    let options = app::Options { demo: true, stand_in: true, first_start_at: Some(start.first_start_at) };
    let app = App::start(config, clock.clone(), options).await.map_err(|failed| failed.to_string())?;
    tell(&Told::Started(watch.elapsed_ms()));
    while let Some(heard) = orders.recv().await {
        let done = match heard {
            Heard::Order(Order::Look(comments)) => stands(&app, comments).await.map(|told| tell(&told)),
            Heard::Order(Order::Decide(approval, decision)) => {
                record_decision(&*app.journal, &approval, decision, clock).await.map(drop)
            }
            Heard::Order(_) | Heard::Start(..) => Ok(()),
        };
        done.map_err(|failed| failed.to_string())?;
    }
    Ok(())
}

async fn stands(app: &App, comments: Vec<(i64, i64)>) -> Result<Told, journal::Error> {
    let mut taken_up = Vec::new();
    for (ticket, comment) in comments {
        let mut known = false;
        for row in app.views.runs_of_ticket(TicketId(ticket)).await? {
            let state = RunState::fold(&app.journal.entries(&row.run).await?);
            known |= state.is_ok_and(|state| state.ticket.messages.iter().any(|message| message.id.0 == comment));
        }
        if known {
            taken_up.push((ticket, comment));
        }
    }
    let rows = all_rows(&*app.views).await?;
    let waiting = app.views.approvals(ApprovalFilter::Waiting, 200).await?;
    Ok(Told::Stands { rows, waiting, taken_up })
}
