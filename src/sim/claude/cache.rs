//! The prompt cache: exact prefix match at marked blocks, floors, look-back, times to live; per model. Pure over the time
//! that it is given. Turning a request into blocks stands in `prompt`.
//!
//! Source: <https://platform.claude.com/docs/en/build-with-claude/prompt-caching>, 2026-11. Where that page is silent: a tool
//! definition and a thinking block each count as one position; a hit renews every live entry that stands at a marked
//! position; thinking and effort stand in front of everything.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::prompt::{Level, Prompt};

/// Positions probed backwards from a breakpoint, the breakpoint itself counted as the first.
pub const LOOK_BACK: usize = 20;

/// Live entries above which expired ones are swept out.
const SWEEP_ABOVE: usize = 4_096;

/// How long an entry lives after the start of the request that wrote or last read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// Five minutes, written at 1.25 times the input price.
    FiveMinutes,
    /// One hour, written at twice the input price.
    OneHour,
}

impl Ttl {
    fn length(self) -> SignedDuration {
        match self {
            Ttl::FiveMinutes => SignedDuration::from_mins(5),
            Ttl::OneHour => SignedDuration::from_hours(1),
        }
    }
}

/// How the input of one request splits; the four lines sum to the whole prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Split {
    /// What follows the last effective breakpoint.
    pub input: u64,
    /// The prefix taken from the cache.
    pub read: u64,
    /// Written for five minutes.
    pub write_5m: u64,
    /// Written for one hour.
    pub write_1h: u64,
}

impl Split {
    /// The whole prompt.
    pub fn total(self) -> u64 {
        self.input + self.read + self.write_5m + self.write_1h
    }
}

type PrefixHash = [u8; 32];

#[derive(Debug, Clone, Copy)]
struct Entry {
    ttl: Ttl,
    expires_at: Timestamp,
    available_at: Timestamp,
}

/// What one request reads, and what it will write once its response begins.
#[derive(Debug)]
pub struct Plan {
    /// The split of its input.
    pub split: Split,
    writes: Vec<(PrefixHash, Ttl)>,
    started: Timestamp,
}

/// All entries of all models of one workspace.
#[derive(Debug, Default)]
pub struct Cache {
    entries: HashMap<PrefixHash, Entry>,
}

/// How the cache is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The shortest prefix that is cached, in tokens.
    pub floor: u64,
    /// Whether the hidden tool preamble counts toward the floor (not documented; `false` is the cautious reading).
    pub preamble_counts: bool,
}

impl Cache {
    /// Reads at the start of a request: finds the longest hit, renews what was hit, and plans the writes.
    pub fn read(&mut self, prompt: &Prompt, rules: Rules, now: Timestamp) -> Plan {
        let hashes = prefix_hashes(prompt);
        let tokens = cumulative_tokens(prompt);
        let for_floor =
            |position: usize| tokens[position].saturating_sub(if rules.preamble_counts { 0 } else { prompt.preamble });
        let effective: Vec<(usize, Ttl)> = prompt
            .blocks
            .iter()
            .enumerate()
            .filter_map(|(position, block)| Some((position, block.marker?)))
            .filter(|(position, _)| for_floor(*position) >= rules.floor)
            .collect();

        let live = |entries: &HashMap<PrefixHash, Entry>, position: usize| {
            entries.get(&hashes[position]).is_some_and(|e| e.available_at <= now && now < e.expires_at)
        };
        let hit = effective
            .iter()
            .rev()
            .filter_map(|(mark, _)| {
                let oldest = (mark + 1).saturating_sub(LOOK_BACK);
                (oldest..=*mark).rev().find(|position| live(&self.entries, *position))
            })
            .max();

        let renewed: Vec<usize> = effective.iter().map(|(position, _)| *position).chain(hit).collect();
        for position in renewed {
            if live(&self.entries, position)
                && let Some(entry) = self.entries.get_mut(&hashes[position])
            {
                entry.expires_at = entry.expires_at.max(later(now, entry.ttl));
            }
        }

        let total = tokens.last().copied().unwrap_or(prompt.preamble);
        let Some((last_mark, _)) = effective.last().copied() else {
            let split = Split { input: total, ..Split::default() };
            return Plan { split, writes: Vec::new(), started: now };
        };
        let after_hit = |position: usize| hit.is_none_or(|hit| position > hit);
        let read = hit.map_or(0, |position| tokens[position]);
        let last_1h = effective.iter().rfind(|(p, ttl)| *ttl == Ttl::OneHour && after_hit(*p)).map(|(p, _)| *p);
        let written_1h_to = last_1h.map_or(read, |position| tokens[position]);
        let end = tokens[last_mark].max(read);
        let split = Split { input: total - end, read, write_1h: written_1h_to - read, write_5m: end - written_1h_to };
        let writes = effective.iter().filter(|(p, _)| after_hit(*p)).map(|(p, ttl)| (hashes[*p], *ttl)).collect();
        Plan { split, writes, started: now }
    }

    /// Writes when the first response has begun; until then nobody else can read the entries. A request that fails before
    /// its response begins must not come here.
    pub fn write(&mut self, plan: &Plan, response_began: Timestamp) {
        if self.entries.len() > SWEEP_ABOVE {
            self.entries.retain(|_, entry| response_began < entry.expires_at);
        }
        for (hash, ttl) in &plan.writes {
            let fresh = Entry { ttl: *ttl, expires_at: later(plan.started, *ttl), available_at: response_began };
            self.entries
                .entry(*hash)
                .and_modify(|old| {
                    if response_began < old.expires_at {
                        old.available_at = old.available_at.min(response_began);
                        old.expires_at = old.expires_at.max(fresh.expires_at);
                    } else {
                        *old = fresh;
                    }
                })
                .or_insert(fresh);
        }
    }
}

fn later(from: Timestamp, ttl: Ttl) -> Timestamp {
    from.checked_add(ttl.length()).unwrap_or(Timestamp::MAX)
}

/// The hash of everything from the start up to and including each block. Markers are not part of it.
pub(super) fn prefix_hashes(prompt: &Prompt) -> Vec<PrefixHash> {
    let mut state = Sha256::new();
    let feed = |state: &mut Sha256, kind: u8, bytes: &str| {
        state.update([kind]);
        state.update((bytes.len() as u64).to_le_bytes());
        state.update(bytes.as_bytes());
    };
    feed(&mut state, 0, prompt.model);
    feed(&mut state, 1, &prompt.fold_start);
    let mut level = Level::Tools;
    let mut hashes = Vec::with_capacity(prompt.blocks.len());
    for block in &prompt.blocks {
        if block.level >= Level::System && level < Level::System {
            feed(&mut state, 2, &prompt.fold_system);
        }
        if block.level >= Level::Messages && level < Level::Messages {
            feed(&mut state, 3, &prompt.fold_messages);
        }
        level = block.level;
        feed(&mut state, 4 + block.level as u8, &block.bytes);
        hashes.push(state.clone().finalize().into());
    }
    hashes
}

fn cumulative_tokens(prompt: &Prompt) -> Vec<u64> {
    let mut sum = prompt.preamble;
    let mut in_messages = false;
    prompt
        .blocks
        .iter()
        .map(|block| {
            if block.level == Level::Messages && !in_messages {
                in_messages = true;
                sum += prompt.preamble_messages;
            }
            sum += block.tokens;
            sum
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::prompt::Block;
    use super::*;

    const LOW: Rules = Rules { floor: 1, preamble_counts: false };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    /// Blocks `0..count` of 10 tokens each, marked where told.
    fn prompt(count: usize, marks: &[(usize, Ttl)]) -> Prompt {
        let blocks = (0..count)
            .map(|n| Block {
                level: Level::Messages,
                bytes: format!("block {n}"),
                tokens: 10,
                marker: marks.iter().find(|(position, _)| *position == n).map(|(_, ttl)| *ttl),
            })
            .collect();
        Prompt { model: "m", blocks, ..Prompt::default() }
    }

    fn send(cache: &mut Cache, prompt: &Prompt, second: i64) -> Split {
        let plan = cache.read(prompt, LOW, at(second));
        cache.write(&plan, at(second));
        plan.split
    }

    const M5: Ttl = Ttl::FiveMinutes;
    const H1: Ttl = Ttl::OneHour;

    /// Documented example: the last write at block 15, a new breakpoint at 35: positions 35 to 16 are searched, a miss.
    #[test]
    fn look_back_ends_after_twenty_positions() {
        let check = |written: usize, breakpoint: usize, read: u64| {
            let mut cache = Cache::default();
            send(&mut cache, &prompt(written + 1, &[(written, M5)]), 0);
            let split = send(&mut cache, &prompt(breakpoint + 1, &[(breakpoint, M5)]), 1);
            assert_eq!(split.read, read, "written at {written}, breakpoint at {breakpoint}");
            assert_eq!(split.total(), (breakpoint as u64 + 1) * 10);
        };
        check(15, 35, 0);
        check(15, 34, 160);
        check(15, 15, 160);
        check(0, 19, 10);
        check(0, 20, 0);
    }

    /// Nine parallel calls append 20 blocks: one moving marker stops one short of its last write, a second one finds it.
    #[test]
    fn two_moving_markers_bridge_twenty_new_blocks() {
        let check = |marks: &[(usize, Ttl)], read: u64| {
            let mut cache = Cache::default();
            send(&mut cache, &prompt(31, &[(10, M5), (30, M5)]), 0);
            let split = send(&mut cache, &prompt(51, marks), 1);
            assert_eq!(split.read, read, "{marks:?}");
        };
        check(&[(50, M5)], 0);
        check(&[(10, M5), (50, M5)], 110);
        check(&[(10, M5), (30, M5), (50, M5)], 310);
    }

    #[test]
    fn a_breakpoint_on_a_changed_block_never_reads() {
        let mut cache = Cache::default();
        let mut changing = prompt(5, &[(4, M5)]);
        for n in 0..3 {
            changing.blocks[4].bytes = format!("time {n}");
            let split = send(&mut cache, &changing, n);
            assert_eq!((split.read, split.write_5m), (0, 50), "request {n}");
        }
    }

    #[test]
    fn both_times_to_live_are_billed_as_documented() {
        let mut cache = Cache::default();
        // A = none, B = 3, C = 7, the rest plain.
        let split = send(&mut cache, &prompt(10, &[(1, H1), (3, H1), (5, M5), (7, M5)]), 0);
        assert_eq!(split, Split { input: 20, read: 0, write_1h: 40, write_5m: 40 });
        // A = 7, a 5m breakpoint after it.
        let split = send(&mut cache, &prompt(10, &[(3, H1), (9, M5)]), 10);
        assert_eq!(split, Split { input: 0, read: 80, write_1h: 0, write_5m: 20 });
        // After 10 minutes only the one-hour entry is left.
        let split = send(&mut cache, &prompt(10, &[(3, H1), (9, M5)]), 700);
        assert_eq!(split, Split { input: 0, read: 40, write_1h: 0, write_5m: 60 });
    }

    #[test]
    fn an_entry_lives_from_the_start_of_the_request_and_every_hit_renews_it() {
        let check = |requests: &[(i64, u64)]| {
            let mut cache = Cache::default();
            for (second, read) in requests {
                let split = send(&mut cache, &prompt(3, &[(2, M5)]), *second);
                assert_eq!(split.read, *read, "at {second} of {requests:?}");
            }
        };
        check(&[(0, 0), (299, 30), (598, 30), (897, 30)]);
        check(&[(0, 0), (300, 0), (599, 30)]);

        let mut cache = Cache::default();
        let slow = cache.read(&prompt(3, &[(2, M5)]), LOW, at(0));
        cache.write(&slow, at(200)); // The response began 200 s after the request.
        assert_eq!(cache.read(&prompt(3, &[(2, M5)]), LOW, at(300)).split.read, 0, "counted from the request's start");
    }

    #[test]
    fn an_entry_can_be_read_only_after_the_first_response_began() {
        let mut cache = Cache::default();
        let whole = prompt(3, &[(2, M5)]);
        let first = cache.read(&whole, LOW, at(0));
        let second = cache.read(&whole, LOW, at(1));
        assert_eq!((first.split.write_5m, second.split.write_5m), (30, 30), "both pay the write");
        cache.write(&first, at(2));
        assert_eq!(cache.read(&whole, LOW, at(2)).split.read, 30);
    }

    #[test]
    fn below_the_floor_a_marker_is_silently_ignored() {
        let check = |floor: u64, preamble: u64, counts: bool, expected: Split| {
            let mut whole = prompt(4, &[(1, M5), (3, M5)]);
            whole.preamble = preamble;
            let plan = Cache::default().read(&whole, Rules { floor, preamble_counts: counts }, at(0));
            assert_eq!(plan.split, expected, "floor {floor}, preamble {preamble}, counted: {counts}");
        };
        check(41, 0, false, Split { input: 40, ..Split::default() });
        check(40, 0, false, Split { write_5m: 40, ..Split::default() });
        check(41, 5, false, Split { input: 45, ..Split::default() });
        check(41, 5, true, Split { write_5m: 45, ..Split::default() });
    }

    #[test]
    fn models_and_folded_parameters_do_not_share() {
        let mut cache = Cache::default();
        let base = prompt(3, &[(2, M5)]);
        send(&mut cache, &base, 0);
        let mut check = |change: fn(&mut Prompt), read: u64, why: &str| {
            let mut other = base.clone();
            change(&mut other);
            assert_eq!(cache.read(&other, LOW, at(1)).split.read, read, "{why}");
        };
        check(|_| {}, 30, "the same");
        check(|p| p.model = "other", 0, "another model");
        check(|p| p.fold_start = "effort low".into(), 0, "another effort");
        check(|p| p.fold_messages = "any".into(), 0, "another tool choice");
        check(|p| p.blocks[0].bytes.push(' '), 0, "an edited block");
    }

    #[test]
    fn a_changed_tool_choice_keeps_tools_and_system() {
        let mut cache = Cache::default();
        let mut whole = prompt(4, &[(1, M5), (3, M5)]);
        whole.blocks[0].level = Level::Tools;
        whole.blocks[1].level = Level::System;
        send(&mut cache, &whole, 0);
        whole.fold_messages = "any".into();
        whole.preamble_messages = 7;
        assert_eq!(send(&mut cache, &whole, 1), Split { read: 20, write_5m: 27, ..Split::default() });
        whole.fold_system = "fast".into();
        assert_eq!(
            send(&mut cache, &whole, 2).read,
            0,
            "only the tool definitions would still fit, and they are not marked"
        );
    }
}
