//! Figures, their targets, and how they are printed.

use std::fmt::{self, Write};

use serde_json::{Map, Value, json};

use crate::inspect::picture::grouped;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    AtLeast(f64),
    Over(f64),
    Under(f64),
    Zero,
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Target::AtLeast(wanted) => value >= wanted,
            Target::Over(wanted) => value > wanted,
            Target::Under(wanted) => value < wanted,
            Target::Zero => value == 0.0,
        }
    }
}

/// One measured number.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Its name in JSON; the unit is in it.
    pub key: &'static str,
    pub label: &'static str,
    pub value: f64,
    pub unit: &'static str,
    pub target: Option<Target>,
}

impl Figure {
    pub fn new(key: &'static str, label: &'static str, value: f64, unit: &'static str) -> Self {
        Self { key, label, value, unit, target: None }
    }

    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    fn to_json(&self) -> Value {
        let target = self.target.map(|target| match target {
            Target::AtLeast(wanted) => json!({"at_least": wanted}),
            Target::Over(wanted) => json!({"over": wanted}),
            Target::Under(wanted) => json!({"under": wanted}),
            Target::Zero => json!({"at_most": 0}),
        });
        let met = self.target.map(|target| target.is_met(self.value));
        json!({"value": self.value, "unit": self.unit, "target": target, "met": met})
    }
}

/// Figures that belong together.
#[derive(Clone, Debug)]
pub struct Section {
    pub title: &'static str,
    pub figures: Vec<Figure>,
}

/// Labels have this much room, and more where one is longer.
const LABEL_CHARS: usize = 40;

/// Few digits, none of them noise.
fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        return grouped(value as u64);
    }
    match value {
        ..10.0 => format!("{value:.2}"),
        10.0..1000.0 => format!("{value:.1}"),
        _ => grouped(value.round() as u64),
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let longest = self.figures.iter().map(|figure| figure.label.chars().count()).max();
        let width = longest.unwrap_or(0).max(LABEL_CHARS);
        for Figure { label, value, unit, target, .. } in &self.figures {
            let aim = target.map_or(String::new(), |target| {
                let verdict = if target.is_met(*value) { "met" } else { "MISSED" };
                match target {
                    Target::AtLeast(wanted) => format!("target ≥ {wanted} {unit}: {verdict}"),
                    Target::Over(wanted) => format!("target > {wanted} {unit}: {verdict}"),
                    Target::Under(wanted) => format!("target < {wanted} {unit}: {verdict}"),
                    Target::Zero => format!("target 0: {verdict}"),
                }
            });
            let line = format!("  {label:<width$} {:>10} {unit:<20} {aim}", number(*value));
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The whole result.
#[derive(Debug)]
pub struct Sheet {
    pub sections: Vec<Section>,
    pub quick: bool,
    /// The verifying client found nothing wrong over all takeovers.
    pub clean: bool,
    /// The engines beside QEMU's, kernel by kernel, where they were measured.
    pub engines: Option<Value>,
    pub seconds: f64,
    cpus: usize,
}

impl Sheet {
    pub fn new(quick: bool) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self { sections: Vec::new(), quick, clean: false, engines: None, seconds: 0.0, cpus }
    }

    pub fn to_json(&self) -> Value {
        let figures = self.sections.iter().flat_map(|section| &section.figures);
        let figures: Map<String, Value> =
            figures.map(|figure| (figure.key.to_owned(), figure.to_json())).collect();
        let mut all = json!({
            "figures": figures,
            "clean": self.clean,
            "quick": self.quick,
            "seconds": self.seconds,
            "cpus": self.cpus,
        });
        if let Some(engines) = &self.engines {
            all["engines"] = engines.clone();
        }
        all
    }

    pub fn last_words(&self) -> String {
        let figures = self.sections.iter().flat_map(|section| &section.figures);
        let met: Vec<bool> = figures.filter_map(|figure| Some(figure.target?.is_met(figure.value))).collect();
        let mut words = format!("{:.0} s on {} processors", self.seconds, self.cpus);
        match met.iter().filter(|met| !**met).count() {
            0 if met.is_empty() => words += "; no figure has a target",
            0 => words += "; every target met",
            missed => write!(words, "; targets missed: {missed}").expect("a string takes anything"),
        }
        if !self.clean {
            words += "; the client found something LOST or done TWICE";
        }
        words + "\n"
    }
}

/// The middle one; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

pub fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_missed_target_is_told_and_counted() {
        let figures = vec![
            Figure::new("a_ms", "a", 25.0, "ms").target(Target::Under(20.0)),
            Figure::new("b", "b", 96.0, "%").target(Target::AtLeast(95.0)),
        ];
        let section = Section { title: "t", figures };
        let text = section.to_string();
        assert!(text.contains("MISSED") && text.contains("target ≥ 95 %: met"), "{text}");
        let sheet = Sheet { sections: vec![section], ..Sheet::new(true) };
        assert!(sheet.last_words().contains("missed: 1"));
        assert_eq!(sheet.to_json()["figures"]["a_ms"]["met"], false);
    }

    #[test]
    fn as_much_is_not_more() {
        let figure = |value| Figure::new("x", "x", value, "times as fast").target(Target::Over(1.0));
        let section = Section { title: "t", figures: vec![figure(1.0), figure(1.01)] };
        let text = section.to_string();
        let verdicts: Vec<_> = text.lines().skip(1).map(|line| line.rsplit_once(": ").unwrap().1).collect();
        assert_eq!(verdicts, ["MISSED", "met"], "{text}");
        assert_eq!(figure(1.0).to_json()["target"]["over"], 1.0);
    }

    #[test]
    fn a_long_label_moves_the_columns_of_all() {
        const LONG: &str = "a label of more characters than there usually are";
        let figures = vec![Figure::new("a", LONG, 1.5, "s"), Figure::new("b", "short", 20.5, "s")];
        let text = Section { title: "t", figures }.to_string();
        let ends: Vec<_> = text.lines().skip(1).map(str::len).collect();
        assert!(ends.len() == 2 && ends[0] == ends[1] && LONG.len() > LABEL_CHARS, "{text}");
    }

    #[test]
    fn without_a_target_none_is_said_to_be_met() {
        let section = Section { title: "t", figures: vec![Figure::new("a", "a", 1.5, "s")] };
        let words = Sheet { sections: vec![section], ..Sheet::new(true) }.last_words();
        assert!(words.contains("no figure has a target") && !words.contains("every target"), "{words}");
    }
}
