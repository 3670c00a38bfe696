//! Opens what was harmed, reads everything, and says what became of it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once};
use std::time::Duration;

use spellkeep_core::record::{Frame, Lsn};

use super::harm::Harm;
use super::image::{Files, Image, disk_of, files_of, open};
use super::view::{Seen, View, is_damage};

/// What became of one harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An error of the damage kind, at the opening or at a read.
    Detected,
    /// Everything reads as it was.
    Harmless,
    /// Everything reads as it was, and the recovery report speaks of a loss: the harmed bytes did.
    FalseAlarm,
    /// Everything reads as it was, and the recovery report names the snapshot that was passed over.
    PassedOver,
    /// Records that were not known durable are gone, from some version on, and the recovery report says so.
    CutAndTold,
    /// The same without a word in the report: the log reads as if they had never been written.
    NeverWritten,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    detected: u64,
    harmless: u64,
    false_alarms: u64,
    passed_over: u64,
    told: u64,
    never_written: u64,
    pub silent: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { detected, harmless, false_alarms, passed_over, told, never_written, silent } = self;
        let all = detected + harmless + false_alarms + passed_over + told + never_written + silent;
        write!(
            f,
            "{all} harms: {detected} detected, {harmless} harmless, {false_alarms} harmless with a false alarm, "
        )?;
        write!(f, "{passed_over} passed over, {told} cut and told, {never_written} as never written, {silent} silent")
    }
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.detected += other.detected;
        self.harmless += other.harmless;
        self.false_alarms += other.false_alarms;
        self.passed_over += other.passed_over;
        self.told += other.told;
        self.never_written += other.never_written;
        self.silent += other.silent;
    }

    fn count(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Detected => &mut self.detected,
            Outcome::Harmless => &mut self.harmless,
            Outcome::FalseAlarm => &mut self.false_alarms,
            Outcome::PassedOver => &mut self.passed_over,
            Outcome::CutAndTold => &mut self.told,
            Outcome::NeverWritten => &mut self.never_written,
        } += 1;
    }
}

/// What the sweep is at, for the watchdog; nothing when it rests.
static AT: Mutex<Option<String>> = Mutex::new(None);
const STUCK: Duration = Duration::from_secs(120);

/// Ends the process when one harm takes longer than any could: an endless loop of the engine cannot be caught.
fn watch() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        std::thread::spawn(|| {
            let mut former = None;
            loop {
                std::thread::sleep(STUCK);
                let now = AT.lock().unwrap().clone();
                if now.is_some() && now == former {
                    eprintln!("no end: {}", now.unwrap_or_default());
                    std::process::abort();
                }
                former = now;
            }
        });
    });
}

/// Counts what `judge` says of each harm; what it calls wrong, and a panic, is silent.
pub fn each<T>(
    harms: impl IntoIterator<Item = T>,
    text: impl Fn(&T) -> String,
    mut judge: impl FnMut(&T) -> Result<Outcome, String>,
) -> Counts {
    watch();
    let mut counts = Counts::default();
    for harm in harms {
        *AT.lock().unwrap() = Some(text(&harm));
        let why = match catch_unwind(AssertUnwindSafe(|| judge(&harm))) {
            Ok(Ok(outcome)) => {
                counts.count(outcome);
                continue;
            }
            Ok(Err(why)) => why,
            Err(_) => "a panic".to_owned(),
        };
        println!("SILENT: {}: {why}", text(&harm));
        counts.silent += 1;
    }
    *AT.lock().unwrap() = None;
    counts
}

/// Does each harm to the image by itself and judges what is read then.
pub fn sweep(image: &Image, harms: &[Harm]) -> Counts {
    each(harms, |harm| format!("{:?}: {}", image.setup, harm.text()), |harm| judge(image, harm))
}

fn judge(image: &Image, harm: &Harm) -> Result<Outcome, String> {
    let disk = disk_of(image.tree.clone());
    harm.apply(&disk, &image.files);
    let harmed = disk_of(disk.tree());
    let store = match open(&disk, image.setup.mapped) {
        Err(e) if is_damage(&e) => return Ok(Outcome::Detected),
        Err(e) => return Err(format!("the opening said {e}")),
        Ok(store) => store,
    };
    let view = View::read(&store, &image.truth.places).map_err(|e| format!("a read said {e}"))?;
    let report = &store.recovery().log;
    let told = report.cut_reason.is_some();
    match image.truth.see(&view) {
        Seen::All if told => Ok(Outcome::FalseAlarm),
        Seen::All => Ok(Outcome::Harmless),
        Seen::Damaged => Ok(Outcome::Detected),
        Seen::Wrong => Err("what is read is not what was written".to_owned()),
        Seen::Prefix(last) => {
            let lost = format!("version {last} is the last, {report:?}");
            let seed = store.wal().seed();
            excuse(image, harm, &files_of(&harmed), seed, last, told).map_err(|why| format!("{lost}: {why}"))
        }
    }
}

/// Why records may be gone without damage being told, or why they may not: docs/decisions/0003-lost-power-or-damage.md.
/// They were acknowledged, all of them, but nothing on the disk says that they were durable, and what is left is what a
/// crash can leave.
fn excuse(image: &Image, harm: &Harm, harmed: &Files, seed: u64, last: Lsn, told: bool) -> Result<Outcome, String> {
    let setup = image.setup;
    if setup.closed {
        return Err("nothing of a store that was closed may get lost".to_owned());
    }
    if last < image.durable {
        return Err(format!("the disk said that {} was durable", image.durable));
    }
    let frames = || segments(harmed).flat_map(|(_, bytes)| frames_in(bytes, seed)).map(|(_, frame)| frame);
    if let Some(proof) = frames().find(|frame| frame.lsn > last && frame.proven_durable() > last) {
        return Err(format!("version {} proves that {} was durable", proof.lsn, proof.proven_durable()));
    }
    match (setup.mapped, told) {
        // In another incarnation unsynced sectors may be missing, in any order, and the report says that some are.
        (_, true) if setup.moved => Ok(Outcome::CutAndTold),
        // Without a ring, the last write of a killed process may have stopped anywhere, or not have begun.
        (false, true) if interrupted(image, harmed, seed, last) => Ok(Outcome::CutAndTold),
        (false, false) if interrupted(image, harmed, seed, last) => Ok(Outcome::NeverWritten),
        // The ring, marks and all, is that of a process that was killed earlier.
        (true, false) if matches!(harm, Harm::Earlier { file, .. } if file == "ring") => Ok(Outcome::NeverWritten),
        _ => Err(format!("no crash leaves this (told: {told})")),
    }
}

fn segments(files: &Files) -> impl Iterator<Item = (&String, &Vec<u8>)> {
    files.iter().filter(|(name, _)| name.starts_with("segments/"))
}

/// The whole frames of a segment, wherever they stand, and where they end.
fn frames_in(bytes: &[u8], seed: u64) -> impl Iterator<Item = (usize, Frame<'_>)> {
    let at = move |at: usize| Frame::parse(&bytes[at..], seed).ok().map(|frame| (at + frame.bytes().len(), frame));
    (64..bytes.len()).step_by(8).filter_map(at)
}

/// Whether what stands behind the last record is the beginning of what stood there before the harm, and then zeros.
fn interrupted(image: &Image, harmed: &Files, seed: u64, last: Lsn) -> bool {
    segments(harmed).any(|(name, bytes)| {
        let ends = frames_in(bytes, seed).filter(|(_, frame)| frame.lsn == last).map(|(end, _)| end);
        ends.into_iter().any(|end| {
            let (rest, before) = (&bytes[end..], &image.files[name][end..]);
            let same = rest.iter().zip(before).take_while(|(now, then)| now == then).count();
            rest[same..].iter().all(|byte| *byte == 0)
        })
    })
}

/// Harms the segments of a store that is open: what it reads from them is what was written, or damage.
pub fn sweep_running(image: &Image, harms: &[Harm]) -> Counts {
    let disk = disk_of(image.tree.clone());
    let store = open(&disk, image.setup.mapped).unwrap();
    let files = files_of(&disk);
    let harms = harms.iter().filter(|harm| harm.only_in("segments/"));
    each(
        harms,
        |harm| format!("running, {:?}: {}", image.setup, harm.text()),
        |harm| {
            harm.apply(&disk, &files);
            let read = catch_unwind(AssertUnwindSafe(|| View::read(&store, &image.truth.places)));
            harm.undo(&disk, &files);
            match read.map(|read| read.map(|view| image.truth.see(&view))) {
                Ok(Ok(Seen::Damaged)) => Ok(Outcome::Detected),
                Ok(Ok(Seen::All)) => Ok(Outcome::Harmless),
                wrong => Err(format!("{wrong:?}")),
            }
        },
    )
}
