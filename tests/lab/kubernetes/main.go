// Command kubernetes is etcd or the API server of Kubernetes, by the name under which it is started.
//
// One program for both: they share most of their code, and so most of the time that building takes.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		os.Exit(cli.Run(app.NewAPIServerCommand()))
	default:
		fmt.Fprintf(os.Stderr, "%s: start this as etcd or as kube-apiserver\n", name)
		os.Exit(2)
	}
}
