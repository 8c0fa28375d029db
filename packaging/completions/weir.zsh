#compdef weir
# Completion of weir in zsh. What may come next, weir itself knows.
local line files
local -a found
for line in ${(f)"$("${words[1]}" complete "${(@)words[2,CURRENT]}" 2>/dev/null)"}; do
	if [[ $line == :files ]]; then
		files=1
	else
		found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
	fi
done
(( $#found )) && _describe weir found
[[ -n $files ]] && _files
return 0
