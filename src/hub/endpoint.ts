// Where the hub is, unless a setting says otherwise.

export const HUB = "https://huggingface.co";
