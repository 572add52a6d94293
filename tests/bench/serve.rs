//! The real binary as an installation runs it: its memory when idle and with thousands of runs that wait for a person, and
//! how soon its first page is there.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use deskhand::clock::Clock;
use deskhand::journal::sqlite::SqliteJournal;
use deskhand::journal::views::Views;

use crate::vendors::Vendors;
use crate::{desk, process};

/// How often a start is measured; the median counts.
const STARTS: usize = 11;
/// How long a desk is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(4);
/// Above the limit of refunds, so that a person is asked.
const REFUND_MINOR: i64 = 90_000;

/// `deskhand serve` as a child.
struct Serve {
    child: Child,
    address: String,
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serve {
    fn start(vendors: &Vendors, data: &Path, at_once: usize) -> Serve {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_deskhand"));
        command.args(["serve", "--config"]).arg(data.join("none.toml")).stdout(Stdio::null()).stderr(Stdio::null());
        for (key, value) in desk::settings(vendors, data, at_once) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            command.env(format!("DESKHAND_{}", key.to_uppercase().replace('.', "__")), value);
        }
        command.env("DESKHAND_WEB__LISTEN", &address);
        Serve { child: command.spawn().expect("the product's binary"), address }
    }

    /// Waits for the first page.
    fn first_page(&mut self) {
        loop {
            if self.page().is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return;
            }
            assert!(self.child.try_wait().is_ok_and(|ended| ended.is_none()), "`deskhand serve` ended");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn page(&self) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        write!(stream, "GET /sign-in HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

/// From the start of the process to the first page, and to the end of `/bin/true`: medians, in milliseconds.
pub fn starts(folder: &Path) -> (f64, f64) {
    let vendors = Vendors::start(REFUND_MINOR);
    let data = tempfile::tempdir_in(folder).expect("a folder that can be written");
    let mut pages = Vec::new();
    let mut trues = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        let ended = Command::new("/bin/true").status().expect("/bin/true");
        trues.push(began.elapsed());
        assert!(ended.success());
        let began = Instant::now();
        let mut serve = Serve::start(&vendors, data.path(), 8);
        serve.first_page();
        pages.push(began.elapsed());
    }
    (median_ms(pages), median_ms(trues))
}

fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1_000.0
}

/// Memory of the process in MiB: now and at most, with so many runs that wait for a person.
pub struct Memory {
    /// Runs that wait.
    pub waiting: u64,
    /// `VmRSS`, after a while of rest.
    pub resident_mib: f64,
    /// `VmHWM`, while the runs were worked.
    pub most_mib: f64,
    /// `VmRSS` after a restart over the same data.
    pub restarted_mib: f64,
    /// Processor time in a second of rest, in milliseconds.
    pub idle_cpu_ms: f64,
}

/// Measures the memory with so many waiting runs; with 0, of an idle desk.
pub async fn memory(folder: &Path, waiting: u64) -> Memory {
    let vendors = Vendors::start(REFUND_MINOR);
    vendors.show(waiting).await;
    let data = tempfile::tempdir_in(folder).expect("a folder that can be written");
    let mut serve = Serve::start(&vendors, data.path(), 8);
    serve.first_page();
    let clock = Clock::system();
    let beside = SqliteJournal::open_beside(data.path()).expect("a journal");
    loop {
        clock.sleep(Duration::from_millis(200)).await;
        let counts = beside.counts(0).await.expect("counts");
        if counts.waiting_approvals >= waiting {
            break;
        }
        assert!(serve.child.try_wait().is_ok_and(|ended| ended.is_none()), "`deskhand serve` ended");
    }
    beside.close().await;
    clock.sleep(SETTLE).await;
    let pid = serve.child.id();
    let idle = process::cpu_ms_of_process(pid);
    clock.sleep(SETTLE).await;
    let idle_cpu_ms = (process::cpu_ms_of_process(pid) - idle) / SETTLE.as_secs_f64();
    let (resident_mib, most_mib) = (process::memory_mib(pid, "VmRSS"), process::memory_mib(pid, "VmHWM"));
    drop(serve);

    let mut again = Serve::start(&vendors, data.path(), 8);
    again.first_page();
    clock.sleep(SETTLE).await;
    let restarted_mib = process::memory_mib(again.child.id(), "VmRSS");
    Memory { waiting, resident_mib, most_mib, restarted_mib, idle_cpu_ms }
}
