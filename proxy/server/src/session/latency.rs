//! LATENCY: the moments that were noted because they took long, and how long calls of commands took.

use std::fmt::Write;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use proxy_commands::{Id, Row};
use proxy_resp::{Args, Reply};

use super::wrong_arguments;
use crate::histogram::Sum;
use crate::latency::{Series, event};
use crate::shared::Shared;
use crate::worker::{Worker, unix_ms};

pub(super) fn run(worker: &Rc<Worker>, id: Id, args: Args<'_>, reply: &mut Reply) {
    let shared = &worker.shared;
    match id {
        Id::LatencyLatest => latest(shared, reply),
        Id::LatencyHistory => history(shared, args, reply),
        Id::LatencyGraph => graph(shared, args, reply),
        Id::LatencyReset => {
            let named: Vec<&[u8]> = args.slice(2..).iter().collect();
            reply.integer(shared.latency.reset(&named) as i64);
        }
        Id::LatencyDoctor => reply.verbatim("txt", doctor(shared).as_bytes()),
        Id::LatencyHistogram => histogram(shared, args, reply),
        Id::LatencyHelp => help(reply),
        _ => wrong_arguments(reply, "latency"),
    }
}

fn latest(shared: &Shared, reply: &mut Reply) {
    let all = shared.latency.all();
    reply.array(all.len());
    for (event, series) in all {
        let last = series.samples.back().copied();
        reply.array(4);
        reply.bulk(event.as_bytes());
        reply.integer(last.map_or(0, |sample| sample.unix_s));
        reply.integer(last.map_or(0, |sample| sample.ms as i64));
        reply.integer(series.max_ms as i64);
    }
}

fn history(shared: &Shared, args: Args<'_>, reply: &mut Reply) {
    let series = shared.latency.series(args.at(2)).unwrap_or_default();
    reply.array(series.samples.len());
    for sample in series.samples {
        reply.array(2);
        reply.integer(sample.unix_s);
        reply.integer(sample.ms as i64);
    }
}

fn graph(shared: &Shared, args: Args<'_>, reply: &mut Reply) {
    match shared.latency.series(args.at(2)) {
        Some(series) => {
            let name = String::from_utf8_lossy(args.at(2)).into_owned();
            reply.verbatim("txt", drawn(&name, &series, unix_ms() / 1000).as_bytes());
        }
        None => {
            let text = [&b"ERR No samples available for event '"[..], args.at(2), b"'"].concat();
            reply.error_bytes(&text);
        }
    }
}

/// Samples as columns, the newest on the right, their age written downwards below.
fn drawn(name: &str, series: &Series, now_s: i64) -> String {
    const COLUMNS: usize = 80;
    const ROWS: u64 = 4;
    let skip = series.samples.len().saturating_sub(COLUMNS);
    let samples: Vec<_> = series.samples.iter().skip(skip).collect();
    let high = samples.iter().map(|sample| sample.ms).max().unwrap_or(0);
    let low = samples.iter().map(|sample| sample.ms).min().unwrap_or(0);
    let mut text = format!("{name} - high {high} ms, low {low} ms (all time high {} ms)\n", series.max_ms);
    text.push_str(&"-".repeat(COLUMNS));
    text.push('\n');
    for row in (0..ROWS).rev() {
        for sample in &samples {
            // In quarters of a row, from the bottom: every sample shows something.
            let height = 1 + (sample.ms - low) * (ROWS * 4 - 1) / (high - low).max(1);
            text.push(match height.saturating_sub(row * 4) {
                0 => ' ',
                1 => '_',
                2 => 'o',
                _ => '#',
            });
        }
        text.push('\n');
    }
    let ages: Vec<Vec<char>> =
        samples.iter().map(|sample| age(now_s.saturating_sub(sample.unix_s)).chars().collect()).collect();
    text.push('\n');
    for row in 0..ages.iter().map(Vec::len).max().unwrap_or(0) {
        text.extend(ages.iter().map(|age| age.get(row).copied().unwrap_or(' ')));
        text.push('\n');
    }
    text
}

/// Seconds in the largest unit that fits.
fn age(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn doctor(shared: &Shared) -> String {
    let threshold = shared.params.latency_threshold_ms.load(Relaxed);
    if threshold == 0 {
        return "Nothing is watched: set latency-monitor-threshold to the milliseconds from which on a moment is \
                noted.\n"
            .to_owned();
    }
    let all = shared.latency.all();
    if all.is_empty() {
        return format!("Nothing took {threshold} ms or longer since the last reset.\n");
    }
    let mut text = String::new();
    for (name, series) in &all {
        let count = series.samples.len().max(1) as u64;
        let average = series.samples.iter().map(|sample| sample.ms).sum::<u64>() / count;
        let first = series.samples.front().map_or(0, |sample| sample.unix_s);
        let last = series.samples.back().map_or(0, |sample| sample.unix_s);
        let every = last.saturating_sub(first).unsigned_abs() / count;
        let _ = writeln!(
            text,
            "{name}: {count} moments, one in {every} s, {average} ms on average, {} ms at worst.",
            series.max_ms
        );
        text.push_str(match *name {
            event::COMMAND | event::FAST_COMMAND => {
                "    SLOWLOG GET tells which commands (set slowlog-log-slower-than low enough); large keys and \
                 commands over the whole keyspace are the usual reason. A busy machine slows everything.\n"
            }
            event::EXPIRE => "    Many keys expire at the same time: spread their times.\n",
            event::EVICTION => "    Memory is short: raise maxmemory, or write less at once.\n",
            event::LOG => {
                "    A quorum of the log's zones was slow to write: look at their disks and at the network \
                 between them (INFO durability, fastkeep ctl log).\n"
            }
            _ => "",
        });
    }
    text
}

/// All rows that COMMAND knows, containers before their subcommands.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    proxy_commands::rows().flat_map(|row| std::iter::once(row).chain(row.subcommands))
}

/// Calls of a row over all workers.
pub(super) fn times(shared: &Shared, row: &'static Row) -> Sum {
    Sum::of(shared.stats.iter().filter_map(|stats| stats.command(row)?.histogram.get()))
}

fn histogram(shared: &Shared, args: Args<'_>, reply: &mut Reply) {
    let wanted = args.slice(2..);
    let is_wanted = |row: &Row| {
        wanted.is_empty()
            || wanted.iter().any(|name| {
                // A container's name stands for its subcommands too.
                let bar = row.name.find('|');
                row.name.as_bytes().eq_ignore_ascii_case(name)
                    || bar.is_some_and(|bar| row.name.as_bytes()[..bar].eq_ignore_ascii_case(name))
            })
    };
    let found: Vec<(&Row, Sum)> = rows()
        .filter(|row| is_wanted(row))
        .map(|row| (row, times(shared, row)))
        .filter(|(_, times)| times.count() > 0)
        .collect();
    reply.map(found.len());
    for (row, times) in found {
        reply.bulk(row.name.as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.integer(times.count() as i64);
        reply.bulk(b"histogram_usec");
        let steps = times.by_doubling();
        reply.map(steps.len());
        for (us, count) in steps {
            reply.integer(us as i64);
            reply.integer(count as i64);
        }
    }
}

fn help(reply: &mut Reply) {
    super::help(
        reply,
        &[
            "LATENCY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "DOCTOR",
            "    Say in words what took long and what may help.",
            "GRAPH <event>",
            "    Draw the samples of an event.",
            "HISTORY <event>",
            "    Show the times and milliseconds of an event's samples.",
            "HISTOGRAM [<command> ...]",
            "    Show how long calls of commands took; of all commands without a name.",
            "LATEST",
            "    Show each event's latest sample, and its worst.",
            "RESET [<event> ...]",
            "    Forget the samples of events; of all of them without a name.",
            "HELP",
            "    Print this help.",
        ],
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Sample;

    #[test]
    fn draws_every_sample() {
        let mut series = Series { max_ms: 9, ..Series::default() };
        for (unix_s, ms) in [(10, 1), (70, 9), (95, 5)] {
            series.samples.push_back(Sample { unix_s, ms });
        }
        let text = drawn("command", &series, 100);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "command - high 9 ms, low 1 ms (all time high 9 ms)");
        assert_eq!(&lines[2..6], [" # ", " # ", " ##", "_##"]);
        assert_eq!(&lines[7..], ["135", "m0s", " s "]);
    }
}
