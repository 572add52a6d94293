//! What this disk can do: how often a second it takes down an appended piece, asked in the folder where the journal lies.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long one probe takes.
const PROBE: Duration = Duration::from_millis(700);

/// `fdatasync` calls a second, each after `bytes` were appended.
pub fn syncs_per_second(folder: &Path, bytes: usize) -> f64 {
    let path = folder.join("probe");
    let mut file = File::create(&path).expect("a folder that can be written");
    let piece = vec![0x5a_u8; bytes];
    let mut add = || {
        file.write_all(&piece).expect("room on the disk");
        file.sync_data().expect("a disk that syncs");
    };
    add(); // The first one also makes the file.
    let began = Instant::now();
    let mut count = 0_u32;
    while began.elapsed() < PROBE {
        add();
        count += 1;
    }
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    let _ = std::fs::remove_file(&path);
    rate
}
