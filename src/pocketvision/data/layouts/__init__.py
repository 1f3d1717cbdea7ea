"""The layouts that data come in, one file each; `pocketvision.data.layout.scan` tells them apart.

- `folders`: root/class/*, root/{train,val,test}/class/*.
- `manifest`: CSV and JSONL tables of file and label, or of file and 0/1 attributes; `celeba`: its text files.
- `coco`, `voc`: boxes. `hub`: `hf://name`, put once into the cache as files and a manifest.
- `listing`: what all of them return; `tree`: what lies on the disk; `inside`: paths that stay in their folder.
"""
