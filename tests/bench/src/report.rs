//! The report: one Markdown page of medians and ratios, put between the marks in docs/performance.md.

use std::fmt::Write;
use std::path::Path;

use crate::Options;
use crate::measure::{Cell, Measured, median};
use crate::servers::Kind;

const BEGIN: &str = "<!-- bench: begin (written by make bench) -->";
const END: &str = "<!-- bench: end -->";

/// The whole report.
pub fn page(cells: &[Cell], measured: &Measured, options: &Options) -> String {
    let mut page = String::new();
    let _ = writeln!(
        page,
        "Medians of {} round(s) of {} s; {} core(s). *always* is redis-server with `appendfsync always`, *memory* without persistence. \
         Ratios are fastkeep's figure by theirs: throughput better above 1, latency and CPU better below 1.\n",
        options.rounds,
        options.seconds,
        std::thread::available_parallelism().map_or(1, usize::from)
    );
    if !measured.rate.is_empty() {
        throughput(&mut page, cells, measured);
    }
    if !measured.cpu.is_empty() {
        cpu(&mut page, cells, measured);
    }
    if !measured.bytes.is_empty() {
        memory(&mut page, measured);
    }
    page
}

fn throughput(page: &mut String, cells: &[Cell], measured: &Measured) {
    page.push_str("| workload | clients | pipeline | fastkeep /s | by always | by memory | p50 µs | by always | p99 µs | by always |\n");
    page.push_str("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
    for cell in cells {
        let of =
            |figures: &std::collections::BTreeMap<_, Vec<f64>>, kind| median(figures.get(&(cell.id(), kind)));
        let rate = of(&measured.rate, Kind::Fastkeep);
        let (p50, p99) = (of(&measured.p50, Kind::Fastkeep), of(&measured.p99, Kind::Fastkeep));
        let _ = writeln!(
            page,
            "| {} | {} | {} | {rate:.0} | {:.2} | {:.2} | {p50:.0} | {:.2} | {p99:.0} | {:.2} |",
            cell.workload.name(),
            cell.clients,
            cell.pipeline,
            rate / of(&measured.rate, Kind::RedisAlways),
            rate / of(&measured.rate, Kind::RedisMemory),
            p50 / of(&measured.p50, Kind::RedisAlways),
            p99 / of(&measured.p99, Kind::RedisAlways),
        );
    }
    page.push('\n');
}

fn cpu(page: &mut String, cells: &[Cell], measured: &Measured) {
    page.push_str("Server CPU seconds for a million commands, client and server pinned to one core:\n\n");
    page.push_str("| workload | clients | pipeline | fastkeep | by always | by memory |\n|---|---:|---:|---:|---:|---:|\n");
    for cell in cells {
        let of = |kind| median(measured.cpu.get(&(cell.id(), kind)));
        let own = of(Kind::Fastkeep);
        let _ = writeln!(
            page,
            "| {} | {} | {} | {own:.2} | {:.2} | {:.2} |",
            cell.workload.name(),
            cell.clients,
            cell.pipeline,
            own / of(Kind::RedisAlways),
            own / of(Kind::RedisMemory),
        );
    }
    page.push('\n');
}

fn memory(page: &mut String, measured: &Measured) {
    page.push_str("Bytes for each key, a million 16-byte keys with 16-byte values:\n\n");
    page.push_str("| | used_memory | resident |\n|---|---:|---:|\n");
    for (kind, (used, resident)) in &measured.bytes {
        let _ = writeln!(page, "| {kind:?} | {used:.1} | {resident:.1} |");
    }
    if let (Some(own), Some(redis)) =
        (measured.bytes.get(&Kind::Fastkeep), measured.bytes.get(&Kind::RedisMemory))
    {
        let _ = writeln!(page, "| ratio | {:.2} | {:.2} |", own.0 / redis.0, own.1 / redis.1);
    }
    page.push('\n');
}

/// Puts the page between the marks of the file.
pub fn write(file: &Path, page: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    let begin = text.find(BEGIN).expect("docs/performance.md has the begin mark") + BEGIN.len();
    let end = text.find(END).expect("docs/performance.md has the end mark");
    let new = format!("{}\n\n{page}\n{}", &text[..begin], &text[end..]);
    std::fs::write(file, new).unwrap();
}
