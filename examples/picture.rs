//! Turns what a terminal shows into an SVG, for the README.
//!
//! `tmux capture-pane -e -p -t SESSION | cargo run --example picture -- 120 40 > assets/cockpit.svg`

use std::fmt::Write as _;
use std::io::Read as _;

use vt100::Color;

const CELL: (f32, f32) = (8.4, 18.0);

/// Okabe–Ito first, since the cockpit uses it; then what a dark terminal would show.
fn rgb(color: Color, default: &str) -> String {
    match color {
        Color::Default => default.to_owned(),
        Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
        Color::Idx(index) => match index {
            1 | 9 => "#d55e00",
            2 | 10 => "#009e73",
            3 | 11 => "#e69f00",
            6 | 14 => "#56b4e9",
            8 => "#888888",
            _ => default,
        }
        .to_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sizes = std::env::args().skip(1).filter_map(|text| text.parse::<u16>().ok());
    let (cols, rows) = (sizes.next().unwrap_or(120), sizes.next().unwrap_or(40));
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let sized = |n: u16| std::num::NonZero::new(n).unwrap_or(std::num::NonZero::<u16>::MIN);
    let mut parser = vt100::Parser::new(sized(rows), sized(cols), 0);
    parser.process(text.trim_end_matches('\n').replace('\n', "\r\n").as_bytes());
    let screen = parser.screen();
    let (width, height) = (f32::from(cols) * CELL.0, f32::from(rows) * CELL.1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"ui-monospace,Menlo,'DejaVu Sans Mono',monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#14171c\"/>\n"
    );
    for row in 0..rows {
        for col in 0..cols {
            let Some(cell) = screen.cell(row, col) else { continue };
            let (mut ink, mut paper) = (rgb(cell.fgcolor(), "#d8dee9"), rgb(cell.bgcolor(), "#14171c"));
            if cell.inverse() {
                std::mem::swap(&mut ink, &mut paper);
            }
            let (x, y) = (f32::from(col) * CELL.0, f32::from(row) * CELL.1);
            if paper != "#14171c" {
                writeln!(svg, "<rect x=\"{x:.1}\" y=\"{y}\" width=\"8.6\" height=\"18\" fill=\"{paper}\"/>")?;
            }
            if cell.contents().trim().is_empty() {
                continue;
            }
            let weight = if cell.bold() { " font-weight=\"bold\"" } else { "" };
            let faint = if cell.dim() { " opacity=\"0.6\"" } else { "" };
            let line = if cell.underline() { " text-decoration=\"underline\"" } else { "" };
            let slant = if cell.italic() { " font-style=\"italic\"" } else { "" };
            let (y, glyph) = (y + 13.5, escaped(cell.contents()));
            writeln!(svg, "<text x=\"{x:.1}\" y=\"{y}\" fill=\"{ink}\"{weight}{faint}{line}{slant}>{glyph}</text>")?;
        }
    }
    println!("{svg}</svg>");
    Ok(())
}
