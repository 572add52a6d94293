//! Whether this process has come to rest: every thread but the asking one sleeps, and none ran while we looked. Then nothing
//! more happens until time moves, for whatever leaves one thread over loopback has reached the other. Read from `/proc`.

use std::path::PathBuf;
use std::time::Duration;

/// How long we wait before we look again, in real time.
const PAUSE: Duration = Duration::from_micros(60);
/// A process that does not come to rest in this time is broken.
const REST_WITHIN: Duration = Duration::from_secs(120);

/// Returns when the process rests. Must be called on a thread of its own, outside of every runtime.
pub fn wait() {
    let began = std::time::Instant::now();
    let me = std::fs::read_link("/proc/thread-self").ok().and_then(|path| path.file_name().map(PathBuf::from));
    let mut before = None;
    loop {
        let now = turns(me.as_ref());
        if now.is_some() && now == before {
            return;
        }
        if now.is_none() {
            std::thread::sleep(PAUSE);
        }
        before = now;
        assert!(began.elapsed() < REST_WITHIN, "the process does not come to rest");
    }
}

/// How often the other threads have run together; `None` while one of them runs, or waits for the processor or the disk.
fn turns(me: Option<&PathBuf>) -> Option<u64> {
    let mut sum = 0_u64;
    for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        if me.is_some_and(|me| task.file_name() == me.as_os_str()) {
            continue;
        }
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
        if stat.rsplit(')').next()?.trim_start().chars().next()? != 'S' {
            return None;
        }
        let Ok(scheduled) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
        sum += scheduled.split_whitespace().nth(2)?.parse::<u64>().ok()?;
    }
    Some(sum)
}
