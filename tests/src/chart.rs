//! Pictures of throughput over time: one line of blocks for terminals, an SVG to keep.

use std::fmt::Write;

/// One download: octets per second over time.
pub struct Curve {
    /// What it shows.
    pub title: String,
    /// How it ended.
    pub outcome: String,
    /// Seconds since the beginning, and octets per second from the moment before until then.
    pub rates: Vec<(f64, f64)>,
    /// The colour of its area, as CSS names them.
    pub colour: &'static str,
}

/// A change of network.
pub struct Move {
    /// Seconds since the beginning.
    pub at: f64,
    /// Where to.
    pub to: String,
}

/// One block per slice, full at `top`; slices in `marked` begin with a move and are drawn as a bar.
#[must_use]
pub fn blocks(rates: &[(f64, f64)], top: f64, marked: &[usize]) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut line = String::new();
    for (slice, (_, rate)) in rates.iter().enumerate() {
        if marked.contains(&slice) {
            line.push('│');
        }
        let share = (rate / top.max(1.0)).clamp(0.0, 1.0);
        let level = LEVELS
            .iter()
            .enumerate()
            .rev()
            .find(|(level, _)| share * 8.0 > *level as f64 + 0.01);
        line.push(level.map_or(' ', |(_, block)| *block));
    }
    line
}

/// Both curves above each other on one time axis, as a stand-alone SVG document.
#[must_use]
pub fn svg(curves: &[Curve], moves: &[Move], seconds: f64) -> String {
    const WIDTH: f64 = 900.0;
    const LEFT: f64 = 70.0;
    const RIGHT: f64 = 20.0;
    const PANEL: f64 = 180.0;
    const GAP: f64 = 70.0;
    let top = curves
        .iter()
        .flat_map(|curve| &curve.rates)
        .fold(1.0_f64, |top, (_, rate)| top.max(*rate))
        * 1.1;
    let count = u32::try_from(curves.len()).unwrap_or(u32::MAX);
    let height = f64::from(count) * (PANEL + GAP) + 30.0;
    let across = |at: f64| LEFT + (WIDTH - LEFT - RIGHT) * at / seconds.max(0.001);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut base = GAP - 20.0 + PANEL;
    for curve in curves {
        let ceiling = base - PANEL;
        let _infallible = writeln!(
            text,
            "<text x=\"{LEFT}\" y=\"{:.0}\" font-size=\"16\">{}</text><text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"#555\">{}</text>",
            ceiling - 24.0,
            escape(&curve.title),
            WIDTH - RIGHT,
            ceiling - 24.0,
            escape(&curve.outcome)
        );
        let mut path = format!("M{LEFT:.1} {base:.1}");
        let mut at = 0.0;
        for (until, rate) in &curve.rates {
            let level = base - PANEL * rate / top;
            let _infallible = write!(
                path,
                " L{:.1} {level:.1} L{:.1} {level:.1}",
                across(at),
                across(*until)
            );
            at = *until;
        }
        let _infallible = write!(path, " L{:.1} {base:.1} Z", across(at));
        let _infallible = writeln!(
            text,
            "<path d=\"{path}\" fill=\"{0}\" fill-opacity=\"0.35\" stroke=\"{0}\"/>",
            curve.colour
        );
        let _infallible = writeln!(
            text,
            "<path d=\"M{LEFT} {ceiling} V{base} H{:.0}\" fill=\"none\" stroke=\"black\"/>\
             <text x=\"{1:.0}\" y=\"{2:.0}\" text-anchor=\"end\">{3:.0} kB/s</text><text x=\"{1:.0}\" y=\"{base:.0}\" text-anchor=\"end\">0</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            ceiling + 10.0,
            top / 1000.0
        );
        for change in moves {
            let x = across(change.at);
            let _infallible = writeln!(
                text,
                "<path d=\"M{x:.1} {ceiling} V{base}\" stroke=\"#a00\" stroke-dasharray=\"4 3\"/>\
                 <text x=\"{:.1}\" y=\"{:.0}\" fill=\"#a00\">to {}</text>",
                x + 3.0,
                ceiling - 4.0,
                escape(&change.to)
            );
        }
        base += PANEL + GAP;
    }
    let axis = base - PANEL - GAP + 18.0;
    let mut second = 0.0;
    while second <= seconds {
        let _infallible = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{axis:.0}\" text-anchor=\"middle\">{second:.0} s</text>",
            across(second)
        );
        second += 5.0;
    }
    text.push_str("</svg>\n");
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_rise_with_the_rate_and_show_moves() {
        assert_eq!(
            blocks(
                &[(1.0, 0.0), (2.0, 50.0), (3.0, 100.0), (4.0, 0.0)],
                100.0,
                &[3]
            ),
            " ▄█│ "
        );
    }

    #[test]
    fn svg_shows_every_curve_and_move() {
        let curve = |title: &str| Curve {
            title: title.to_owned(),
            outcome: "a < b".to_owned(),
            rates: vec![(1.0, 1.0), (2.0, 2.0)],
            colour: "green",
        };
        let text = svg(
            &[curve("one"), curve("two")],
            &[Move {
                at: 1.0,
                to: "train".to_owned(),
            }],
            2.0,
        );
        assert!(text.contains(">one<") && text.contains(">two<"), "{text}");
        assert_eq!(text.matches("to train").count(), 2, "{text}");
        assert!(text.contains("a &lt; b"), "{text}");
    }
}
