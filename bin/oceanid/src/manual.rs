//! `oceanid completions` and `oceanid man`: what a shell and `man` know of the command line, made from its definition.

use crate::cli::Cli;
use crate::output;
use clap::CommandFactory;
use clap_complete::Shell;
use eyre::WrapErr;
use std::path::Path;

pub(crate) fn completions(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "oceanid", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end());
}

pub(crate) fn pages(folder: &Path) -> eyre::Result<()> {
    std::fs::create_dir_all(folder).wrap_err_with(|| format!("cannot make {}", folder.display()))?;
    clap_mangen::generate_to(Cli::command(), folder).wrap_err_with(|| format!("cannot write to {}", folder.display()))?;
    let count = std::fs::read_dir(folder)?.count();
    output::line(&format!("{count} pages in {}; read one with `man {}`", folder.display(), folder.join("oceanid.1").display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_shell_a_script() {
        let folder = tempfile::tempdir().expect("temporary folder");
        pages(folder.path()).expect("written");
        for page in ["oceanid.1", "oceanid-dev.1", "oceanid-config-show.1", "oceanid-sequencer-keys-export.1"] {
            let text = std::fs::read_to_string(folder.path().join(page)).expect(page);
            assert!(text.contains(".SH SYNOPSIS"), "{page}");
        }
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "oceanid", &mut script);
            let script = String::from_utf8(script).expect("text");
            assert!(script.contains("completions") && script.contains("sequencer"), "{shell}");
        }
    }
}
