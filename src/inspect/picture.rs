//! The timeline of a log as an SVG picture: a lane for each kind of entry over the positions, with
//! bars for how many there were, and a line where a generation began.

use std::fmt::Write;

use super::kind::{Group, Kind};
use super::stats::{Began, Stats};
use super::view::start_text;

const WIDTH: f64 = 1200.0;
/// The lanes' left and right ends; the names are to the left of them, the numbers to the right.
const LEFT: f64 = 132.0;
const RIGHT: f64 = 1020.0;
/// Where the first lane starts: below the title and the generations' names.
const TOP: f64 = 128.0;
const LANE: f64 = 34.0;
const LANE_GAP: f64 = 8.0;
/// More room between lanes of different groups.
const GROUP_GAP: f64 = 10.0;
const BAR_MIN: f64 = 2.0;
/// Rows for the names of generations, so that near ones do not cover each other.
const NAME_ROWS: usize = 3;
const NAME_ROW: f64 = 15.0;

/// Draws the log that `stats` were taken of. `title` names it.
pub fn svg(stats: &Stats, title: &str) -> String {
    let lanes = lanes(stats);
    let bottom = lanes.last().map_or(TOP, |(_, top)| top + LANE) + 6.0;
    let height = bottom + 92.0;
    let mut out = String::new();
    let svg = &mut out;
    line(
        svg,
        format_args!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="Helvetica, Arial, 'DejaVu Sans', sans-serif" font-size="13">"#
        ),
    );
    line(svg, format_args!(r##"<rect width="100%" height="100%" fill="#ffffff"/>"##));
    text(svg, (24.0, 36.0), r##"font-size="20" font-weight="bold" fill="#1f2933""##, title);
    text(svg, (24.0, 58.0), r##"fill="#52606d""##, &subtitle(stats));
    axis(svg, stats, bottom);
    for (kind, top) in &lanes {
        lane(svg, stats, *kind, *top);
    }
    if lanes.is_empty() {
        text(svg, (LEFT, TOP), r##"fill="#52606d""##, "no entries");
    }
    generations(svg, stats, bottom);
    legend(svg, stats, bottom + 66.0);
    out.push_str("</svg>\n");
    out
}

/// The kinds that there are, each with the top of its lane.
fn lanes(stats: &Stats) -> Vec<(Kind, f64)> {
    let mut y = TOP;
    let mut before = None;
    let there = Kind::ALL.into_iter().filter(|kind| stats.tally(*kind).count > 0);
    there
        .map(|kind| {
            if before.replace(kind.group()).is_some_and(|group| group != kind.group()) {
                y += GROUP_GAP;
            }
            let top = y;
            y += LANE + LANE_GAP;
            (kind, top)
        })
        .collect()
}

fn subtitle(stats: &Stats) -> String {
    let total = stats.total();
    let mut words = format!("{} entries in {}", grouped(total.count), bytes_text(total.bytes));
    if let Some((first, last)) = stats.positions() {
        write!(words, ", positions {} to {}", grouped(first.get()), grouped(last.get()))
            .expect("a string takes anything");
    }
    if let Some(seconds) = stats.seconds() {
        write!(words, ", {seconds:.2} s of guest time").expect("a string takes anything");
    }
    words
}

/// Where a position that is `since_first` instructions after the first entry is drawn.
fn x_of(stats: &Stats, since_first: u64) -> f64 {
    let bins = stats.timeline().counts(Kind::Horizon).len().max(1);
    let span = bins as f64 * stats.timeline().bin_instructions() as f64;
    LEFT + (RIGHT - LEFT) * (since_first as f64 / span).min(1.0)
}

/// One lane: its name, its bars as one path, its numbers.
fn lane(svg: &mut String, stats: &Stats, kind: Kind, top: f64) {
    let (counts, tally, bottom) = (stats.timeline().counts(kind), stats.tally(kind), top + LANE);
    let max = counts.iter().copied().max().unwrap_or(0).max(1);
    let width = (RIGHT - LEFT) / counts.len().max(1) as f64;
    line(
        svg,
        format_args!(
            r##"<rect x="{LEFT}" y="{top}" width="{}" height="{LANE}" fill="#1f2933" fill-opacity="0.035"/>"##,
            RIGHT - LEFT
        ),
    );
    let mut path = String::new();
    for (i, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = (LANE * (count as f64 / max as f64).sqrt()).max(BAR_MIN);
        let (x, bar) = (LEFT + i as f64 * width, width.max(1.5));
        write!(path, "M{x:.1} {bottom:.1}v-{height:.1}h{bar:.1}v{height:.1}z")
            .expect("a string takes anything");
    }
    line(svg, format_args!(r#"<path d="{path}" fill="{}"/>"#, color(kind.group())));
    let middle = top + LANE / 2.0 + 4.5;
    let name_style = r##"text-anchor="end" fill="#1f2933""##;
    text(svg, (LEFT - 12.0, middle), name_style, kind.name());
    let numbers = format!("{} × {}", grouped(tally.count), bytes_text(tally.bytes / tally.count.max(1)));
    text(svg, (RIGHT + 12.0, top + 14.0), r##"fill="#1f2933""##, &numbers);
    let peak = match stats.per_second(tally.count) {
        Some(rate) => format!("{} /s, peak {} per bar", rate_text(rate), grouped(max)),
        None => format!("peak {} per bar", grouped(max)),
    };
    text(svg, (RIGHT + 12.0, top + 29.0), r##"font-size="11" fill="#7b8794""##, &peak);
}

/// The positions below the lanes, with faint lines up through them.
fn axis(svg: &mut String, stats: &Stats, bottom: f64) {
    let first = stats.positions().map_or(0, |(first, _)| first.get());
    let instructions = stats.instructions();
    let step = tick_step(instructions);
    let mut at = first.next_multiple_of(step);
    while let Some(since_first) = at.checked_sub(first).filter(|since| *since <= instructions) {
        let x = x_of(stats, since_first);
        line(
            svg,
            format_args!(
                r##"<path d="M{x:.1} {TOP}V{:.1}" stroke="#cbd2d9" stroke-width="1"/>"##,
                bottom + 5.0
            ),
        );
        text(svg, (x, bottom + 20.0), r##"text-anchor="middle" fill="#52606d""##, &count_text(at));
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    let label = "position (instructions)";
    text(svg, ((LEFT + RIGHT) / 2.0, bottom + 40.0), r##"text-anchor="middle" fill="#52606d""##, label);
}

/// A line for each generation's start, and its name where there is room.
fn generations(svg: &mut String, stats: &Stats, bottom: f64) {
    let first = stats.positions().map_or(0, |(first, _)| first.get());
    let mut row_ends = [f64::NEG_INFINITY; NAME_ROWS];
    for Began { at, generation, why } in stats.generations() {
        let x = x_of(stats, at.get().saturating_sub(first));
        let name = format!("generation {generation}: {}", start_text(*why));
        let row = row_ends.iter().position(|end| *end < x);
        let top = TOP - 8.0 - row.map_or(0.0, |row| NAME_ROW * (NAME_ROWS - 1 - row) as f64);
        line(
            svg,
            format_args!(
                r##"<path d="M{x:.1} {:.1}V{bottom:.1}" stroke="#c81e3a" stroke-width="1.2" stroke-dasharray="5 3"/>"##,
                top - 8.0
            ),
        );
        if let Some(row) = row {
            // About seven units to a letter at this size.
            row_ends[row] = x + 6.6 * name.len() as f64 + 10.0;
            text(svg, (x + 4.0, top), r##"font-size="12" fill="#c81e3a""##, &name);
        }
    }
}

fn legend(svg: &mut String, stats: &Stats, y: f64) {
    let mut x = LEFT;
    for group in Group::ALL {
        let words = match group {
            Group::Answers => "answers: an instruction asked",
            Group::Inputs => "inputs from outside",
            Group::Outputs => "outputs: the guest spoke",
            Group::Control => "control: the replicas' own",
        };
        let (top, color) = (y - 10.0, color(group));
        line(svg, format_args!(r#"<rect x="{x}" y="{top}" width="12" height="12" rx="2" fill="{color}"/>"#));
        text(svg, (x + 18.0, y), r##"font-size="12" fill="#52606d""##, words);
        x += 18.0 + 6.4 * words.len() as f64 + 22.0;
    }
    let bar = stats.timeline().bin_instructions();
    let words = format!(
        "A bar covers {} instructions; its height is the square root of the entries in them, \
         against the lane's peak.",
        grouped(bar)
    );
    text(svg, (LEFT, y + 18.0), r##"font-size="11" fill="#7b8794""##, &words);
}

const fn color(group: Group) -> &'static str {
    match group {
        Group::Answers => "#3b7dd8",
        Group::Inputs => "#2f9e5b",
        Group::Outputs => "#e8851c",
        Group::Control => "#7b6fa8",
    }
}

/// A round number of instructions between ticks, for at most ten of them.
fn tick_step(instructions: u64) -> u64 {
    let rough = (instructions / 10).max(1);
    let power = 10u64.pow(rough.ilog10());
    [1, 2, 5].into_iter().map(|n| n * power).find(|step| *step >= rough).unwrap_or(power.saturating_mul(10))
}

/// A count of instructions in few characters.
fn count_text(n: u64) -> String {
    let (unit, name) = match n {
        0..10_000 => return n.to_string(),
        10_000..1_000_000 => (1_000u64, "k"),
        1_000_000..1_000_000_000 => (1_000_000, "M"),
        1_000_000_000..1_000_000_000_000 => (1_000_000_000, "G"),
        _ => (1_000_000_000_000, "T"),
    };
    let text = format!("{:.3}", n as f64 / unit as f64);
    format!("{} {name}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A number with its digits in groups of three.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// A number of bytes in few characters.
pub fn bytes_text(n: u64) -> String {
    match n {
        0..10_000 => format!("{n} B"),
        10_000..10_000_000 => format!("{:.1} KB", n as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.1} GB", n as f64 / 1e9),
    }
}

/// A rate in few characters.
pub fn rate_text(rate: f64) -> String {
    match rate {
        ..10.0 => format!("{rate:.2}"),
        10.0..1000.0 => format!("{rate:.1}"),
        _ => grouped(rate as u64),
    }
}

fn line(svg: &mut String, what: std::fmt::Arguments<'_>) {
    svg.write_fmt(what).expect("a string takes anything");
    svg.push('\n');
}

fn text(svg: &mut String, (x, y): (f64, f64), style: &str, words: &str) {
    line(svg, format_args!(r#"<text x="{x:.1}" y="{y:.1}" {style}>{}</text>"#, escaped(words)));
}

/// `words` with what XML would take for markup, or not take at all, replaced.
fn escaped(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
