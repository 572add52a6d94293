//! Crash points: the named boundaries at which `deskhand crashtest` ends the process, to prove that nothing is lost and nothing
//! happens twice. Unless they are armed at the start of the process, a point costs one relaxed load.
//!
//! Why not the `fail` crate: its points exist only in builds that ask for them, and `crashtest` is a command of the ordinary
//! binary, so that everybody can check the guarantees on the build that they run. A boundary also needs the name of the run and
//! step that it lies in, so that each one is tried once.
//!
//! This file knows nothing of who decides: whoever arms the points hands in a function that is called at each boundary, and
//! that does not return when the process is to end there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

static ARMED: AtomicBool = AtomicBool::new(false);
static HOOK: OnceLock<Hook> = OnceLock::new();

type Hook = Box<dyn Fn(&str) + Send + Sync>;

tokio::task_local! {
    static SCOPE: Scope;
}

/// The run and step that the boundaries of a task lie in.
struct Scope {
    name: String,
    /// How often each place was met: the second request to one path is another boundary.
    met: Mutex<BTreeMap<String, u32>>,
}

/// Calls `hook` with the full name of each boundary that the process reaches from now on, on the thread that reaches it. Once a
/// process; later calls do nothing.
pub fn arm(hook: impl Fn(&str) + Send + Sync + 'static) {
    if HOOK.set(Box::new(hook)).is_ok() {
        ARMED.store(true, Ordering::Release);
    }
}

fn armed() -> bool {
    ARMED.load(Ordering::Relaxed)
}

/// A place with boundaries on its way. Without armed points it is empty and does nothing.
#[derive(Debug, Clone)]
pub struct Place(Option<Arc<str>>);

/// Names a place: the run and step of the task (see [`within`]), then `detail`.
pub fn at(detail: impl FnOnce() -> String) -> Place {
    if !armed() {
        return Place(None);
    }
    let detail = detail();
    let named = SCOPE.try_with(|scope| {
        let mut met = scope.met.lock().unwrap_or_else(PoisonError::into_inner);
        let times = met.entry(detail.clone()).or_default();
        *times += 1;
        match *times {
            1 => format!("{} {detail}", scope.name),
            more => format!("{} {detail} #{more}", scope.name),
        }
    });
    Place(Some(named.unwrap_or(detail).into()))
}

impl Place {
    /// The boundary `kind` of this place. The full name is the place and the kind: `run_7001_1 step=4 stripe POST /v1/refunds
    /// request.after`.
    pub fn passes(&self, kind: &'static str) {
        if let (Some(place), Some(hook)) = (&self.0, HOOK.get()) {
            hook(&format!("{place} {kind}"));
        }
    }
}

/// A place with one boundary.
pub fn point(kind: &'static str, detail: impl FnOnce() -> String) {
    at(detail).passes(kind);
}

/// Does `work` so that its places are named after `scope`.
pub async fn within<F: Future>(scope: impl FnOnce() -> String, work: F) -> F::Output {
    if !armed() {
        return work.await;
    }
    let scope = Scope { name: scope(), met: Mutex::default() };
    SCOPE.scope(scope, work).await
}
