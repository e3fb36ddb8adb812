//! What the programs are given: so many questions, in one template or each in one of its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tests::Outcome;

/// How many questions, and in how many templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Each of another key.
    pub questions: usize,
    /// Where they stand.
    pub templates: Templates,
}

/// Where the questions stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Templates {
    /// All in one.
    One,
    /// Each in one of its own, with a file of its own.
    Each,
}

/// As many questions as the issue names; Consul takes 200 connections of one address.
pub const LOADS: [Load; 8] =
    [one(1), one(51), one(151), one(301), one(MOST), each(51), each(301), each(MOST)];
/// The most questions of all.
pub const MOST: usize = 1_000;
/// One question in one template.
pub const SINGLE: Load = one(1);

const fn one(questions: usize) -> Load {
    Load { questions, templates: Templates::One }
}

const fn each(questions: usize) -> Load {
    Load { questions, templates: Templates::Each }
}

/// The name of one key.
pub fn key(number: usize) -> String {
    format!("bench/{number:04}")
}

impl Load {
    /// For people.
    pub fn title(self) -> String {
        match (self.questions, self.templates) {
            (1, _) => "1 question".into(),
            (questions, Templates::One) => format!("{questions} questions"),
            (questions, Templates::Each) => format!("{questions} templates"),
        }
    }

    /// For the data.
    pub fn templates(self) -> usize {
        match self.templates {
            Templates::One => 1,
            Templates::Each => self.questions,
        }
    }

    /// Writes the templates, and takes away what was rendered before; `TEMPLATE:FILE` of each.
    pub fn lay(self, home: &Path) -> Outcome<Vec<String>> {
        for folder in ["in", "out"].map(|name| home.join(name)) {
            _ = fs::remove_dir_all(&folder);
            fs::create_dir(folder)?;
        }
        let line = |number: usize| format!("{{{{ key \"{}\" }}}}\n", key(number));
        let mut texts = vec![String::new(); self.templates()];
        for number in 0..self.questions {
            texts[self.position(number)] += &line(number);
        }
        let mut pairs = vec![];
        for (position, text) in texts.iter().enumerate() {
            let template = home.join(format!("in/{position}.ctmpl"));
            fs::write(&template, text)?;
            pairs.push(format!("{}:{}", template.display(), out(home, position).display()));
        }
        Ok(pairs)
    }

    /// All files.
    pub fn files(self, home: &Path) -> Vec<PathBuf> {
        (0..self.templates()).map(|position| out(home, position)).collect()
    }

    /// The file that holds this key.
    pub fn file(self, home: &Path, number: usize) -> PathBuf {
        out(home, self.position(number))
    }

    fn position(self, number: usize) -> usize {
        match self.templates {
            Templates::One => 0,
            Templates::Each => number,
        }
    }
}

fn out(home: &Path, position: usize) -> PathBuf {
    home.join(format!("out/{position}"))
}
