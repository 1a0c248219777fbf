//! The report: Markdown pages of medians and ratios, one a part, put between the marks in docs/performance.md.

use std::fmt::Write;
use std::path::Path;

use crate::growth::{OPERATIONS, SIZES};
use crate::measure::{Cell, Measured, median};
use crate::servers::Kind;
use crate::shapes::SHAPES;
use crate::{Options, stalls};

/// Every part that was measured: its name, which marks its place in the file, and its page.
pub fn pages(cells: &[Cell], measured: &Measured, options: &Options) -> Vec<(&'static str, String)> {
    let mut pages = Vec::new();
    let mut add = |part, there: bool, write: &dyn Fn(&mut String)| {
        if there {
            let mut page = String::new();
            write(&mut page);
            pages.push((part, page));
        }
    };
    add("throughput", !measured.rate.is_empty(), &|page| {
        let _ = writeln!(
            page,
            "Medians of {} round(s) of {} s; {} core(s). *always* is redis-server with `appendfsync always`, *memory* without persistence. \
             Ratios are fastkeep's figure by theirs: throughput better above 1, latency and CPU better below 1.\n",
            options.rounds,
            options.seconds,
            std::thread::available_parallelism().map_or(1, usize::from)
        );
        throughput(page, cells, measured);
    });
    add("cpu", !measured.cpu.is_empty(), &|page| cpu(page, cells, measured));
    add("memory", !measured.bytes.is_empty(), &|page| memory(page, measured));
    add("growth", !measured.growth.is_empty(), &|page| growth(page, measured));
    add("stalls", !measured.stalls.is_empty(), &|page| stalls(page, measured));
    pages
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
    page.push_str(
        "Bytes for each key, by the growth of `used_memory` and of resident memory; 16-byte keys:\n\n",
    );
    page.push_str("| keys | fastkeep | redis-server | ratio | goal | resident, fastkeep | redis-server |\n|---|---:|---:|---:|---:|---:|---:|\n");
    for shape in &SHAPES {
        let of = |kind| measured.bytes.get(&(shape.name, kind));
        let (Some(own), Some(redis)) = (of(Kind::Fastkeep), of(Kind::RedisMemory)) else { continue };
        let _ = writeln!(
            page,
            "| {} | {:.1} | {:.1} | {:.2} | {:.2} | {:.1} | {:.1} |",
            shape.name,
            own.0,
            redis.0,
            own.0 / redis.0,
            shape.goal,
            own.1,
            redis.1
        );
    }
}

fn growth(page: &mut String, measured: &Measured) {
    page.push_str("Server CPU in ns for each command (pipelined), by the size of the value or the number of keys; the last columns are the largest size by the smallest:\n\n");
    let sizes = |kind: &str| SIZES.map(|size| format!("{kind} {size}")).join(" | ");
    let _ = writeln!(
        page,
        "| | documented | {} | {} | fastkeep | redis-server |",
        sizes("fastkeep"),
        sizes("redis-server")
    );
    let _ = writeln!(page, "|---|---|{}", "---:|".repeat(2 * SIZES.len() + 2));
    for operation in &OPERATIONS {
        let of = |kind| {
            SIZES.map(|size| {
                measured.growth.get(&(operation.command, size, kind)).copied().unwrap_or(f64::NAN)
            })
        };
        let (own, redis) = (of(Kind::Fastkeep), of(Kind::RedisMemory));
        let text = |figures: [f64; SIZES.len()]| figures.map(|ns| format!("{ns:.0}")).join(" | ");
        let rise = |figures: [f64; SIZES.len()]| figures[SIZES.len() - 1] / figures[0];
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {:.1} | {:.1} |",
            operation.command,
            operation.claim,
            text(own),
            text(redis),
            rise(own),
            rise(redis)
        );
    }
}

fn stalls(page: &mut String, measured: &Measured) {
    let _ = writeln!(
        page,
        "Milliseconds that another client waits at most while a command runs on a value of {} elements, and how long the command takes:\n",
        stalls::ELEMENTS
    );
    page.push_str(
        "| | others wait | redis-server | ratio | takes | redis-server |\n|---|---:|---:|---:|---:|---:|\n",
    );
    for command in stalls::commands() {
        let of = |kind| {
            let figures = measured.stalls.get(&(command, kind))?;
            let waits = figures.iter().map(|figure| figure.0).collect();
            let times = figures.iter().map(|figure| figure.1).collect();
            Some((median(Some(&waits)), median(Some(&times))))
        };
        let (Some(own), Some(redis)) = (of(Kind::Fastkeep), of(Kind::RedisMemory)) else { continue };
        let _ = writeln!(
            page,
            "| `{command}` | {:.1} | {:.1} | {:.2} | {:.1} | {:.1} |",
            own.0,
            redis.0,
            own.0 / redis.0,
            own.1,
            redis.1
        );
    }
}

/// Puts the page between the marks of its part in the file.
pub fn write(file: &Path, part: &str, page: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    let (begin, end) =
        (format!("<!-- bench: {part} (written by make bench) -->"), format!("<!-- bench: end of {part} -->"));
    let after = text.find(&begin).unwrap_or_else(|| panic!("no mark {begin}")) + begin.len();
    let until = text.find(&end).unwrap_or_else(|| panic!("no mark {end}"));
    std::fs::write(file, format!("{}\n\n{}\n\n{}", &text[..after], page.trim_end(), &text[until..])).unwrap();
}
