/** The shells that completion is made for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/**
 * A script that asks this program itself what could stand at the cursor, by the hidden `assay completion answer`: it never knows less
 * or more than the program does. Its answer's first line is `none`, `files` or `directories`, every other one a candidate, a tab and
 * what it is.
 */
export const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `# bash completion for assay: source <(assay completion bash)
_assay() {
  local line paths="none" answered=0 current=\${COMP_WORDS[COMP_CWORD]}
  # What is behind a word break is a word of its own to bash.
  [[ $current == [:=] ]] && current=
  COMPREPLY=()
  while IFS= read -r line; do
    if (( ! answered )); then paths=$line answered=1
    else COMPREPLY+=("$(printf '%q' "\${line%%$'\\t'*}")")
    fi
  done < <("\${COMP_WORDS[0]}" completion answer bash -- "\${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
  case $paths in
    files) compopt -o filenames; while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current") ;;
    directories) compopt -o filenames; while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -d -- "$current") ;;
  esac
}
complete -F _assay assay
`,
  zsh: `#compdef assay
# zsh completion for assay: source <(assay completion zsh), or in a file _assay on the fpath
_assay() {
  local -a lines candidates
  local line paths
  lines=("\${(@f)$("\${(Q)words[1]}" completion answer zsh -- "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null)}")
  paths=\${lines[1]}
  for line in "\${(@)lines[2,-1]}"; do
    candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  (( \${#candidates} )) && _describe -t assay assay candidates
  case $paths in
    files) compset -P '--*='; _files ;;
    directories) compset -P '--*='; _files -/ ;;
  esac
}
if [[ \${funcstack[1]} == _assay ]]; then _assay "$@"; else compdef _assay assay; fi
`,
  fish: `# fish completion for assay: assay completion fish | source
function __assay_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($words[1] completion answer fish -- $words[2..-1] "$current" 2>/dev/null)
    test (count $lines) -gt 0; or return
    for line in $lines[2..-1]
        echo $line
    end
    set -l before (string match -r -- '^--[^=]*=' $current)
    set -l rest (string replace -r -- '^--[^=]*=' '' $current)
    switch $lines[1]
        case files
            for path in (__fish_complete_path $rest)
                echo "$before$path"
            end
        case directories
            for path in (__fish_complete_directories $rest)
                echo "$before$path"
            end
    end
end
complete -c assay -f -a '(__assay_complete)'
`,
};
