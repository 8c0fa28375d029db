# Completion of weir in bash. What may come next, weir itself knows.
_weir() {
	local word words=() colon
	COMPREPLY=()
	for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do # bash takes app/10.0.0.7:8080 for three words
		if ((${#words[@]})) && [[ -n $word && ($word == :* || ${words[-1]} == *:) ]]; then
			words[-1]+=$word
		else
			words+=("$word")
		fi
	done
	while IFS=$'\t' read -r word _; do
		if [[ $word == :files ]]; then
			compopt -o filenames 2>/dev/null
			mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
		else
			COMPREPLY+=("$word")
		fi
	done < <("${COMP_WORDS[0]}" complete "${words[@]}" 2>/dev/null)
	colon=${words[-1]%"${words[-1]##*:}"} # what stands before the last of the three
	COMPREPLY=("${COMPREPLY[@]#"$colon"}")
}
complete -F _weir weir
