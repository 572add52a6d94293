//! What a process uses: processor time, memory, bytes written. Read from `/proc`, in which a clock tick is 10 ms.

use std::path::Path;

const TICKS_PER_S: f64 = 100.0;

/// Processor time of this process so far, user and system, in milliseconds.
pub fn cpu_ms() -> f64 {
    cpu_of(Path::new("/proc/self/stat"))
}

/// Processor time of another process so far, in milliseconds.
pub fn cpu_ms_of_process(pid: u32) -> f64 {
    cpu_of(Path::new(&format!("/proc/{pid}/stat")))
}

/// Processor time so far of those threads of this process that have such a name, in milliseconds.
pub fn cpu_ms_of_threads(name: &str) -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks
        .filter(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name))
        .map(|task| cpu_of(&task.path().join("stat")))
        .sum()
}

fn cpu_of(stat: &Path) -> f64 {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    // The name stands in parentheses and may hold spaces; user and system time are the 12th and 13th field after it.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) * 1_000.0 / TICKS_PER_S
}

/// A line of `/proc/<pid>/status` in MiB: `VmRSS` is the memory in use now, `VmHWM` the most it ever was.
pub fn memory_mib(pid: u32, line: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|found| found.strip_prefix(line)?.strip_prefix(':')?.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0.0_f64) / 1_024.0
}

/// Bytes that this process has handed to the disk so far.
pub fn written_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok()).unwrap_or(0)
}
